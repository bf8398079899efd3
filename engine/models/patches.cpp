#include "engine/models/patches.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor patches_of(const at::Tensor& x_BCHW, int64_t p) {
  const int64_t rows = x_BCHW.size(2) / p, columns = x_BCHW.size(3) / p;
  TORCH_CHECK(rows * p == x_BCHW.size(2) && columns * p == x_BCHW.size(3), "latents of ", x_BCHW.sizes(),
              " do not fit patches of ", p);
  return x_BCHW.reshape({x_BCHW.size(0), x_BCHW.size(1), rows, p, columns, p})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({x_BCHW.size(0), rows * columns, x_BCHW.size(1) * p * p});
}

at::Tensor picture_of_patches(const at::Tensor& patches_BLD, int64_t rows, int64_t columns, int64_t p) {
  return patches_BLD.view({patches_BLD.size(0), rows, columns, -1, p, p})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({patches_BLD.size(0), -1, rows * p, columns * p});
}

}  // namespace thalweg
