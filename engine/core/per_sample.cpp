#include "engine/core/per_sample.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor per_sample(const at::Tensor& numbers_B, const at::Tensor& x) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = -1;
  return numbers_B.to(x.scalar_type()).view(shape);
}

}  // namespace thalweg
