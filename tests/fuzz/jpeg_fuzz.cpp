#include <ATen/ATen.h>

#include "engine/io/image.h"
#include "engine/io/picture.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {

void jpeg(std::string_view input) {
  at::Tensor picture_3HW;
  if (!accepted([&] { picture_3HW = decode_picture(input, "a.jpg"); })) return;
  require(picture_3HW.dim() == 3 && picture_3HW.size(0) == 3, "a picture is [3,H,W]");
  require(picture_3HW.numel() <= 3 * kMaxReadPixels, "a picture keeps to the limit");
  const auto [low, high] = at::aminmax(picture_3HW);
  require(low.item<float>() >= 0.0f && high.item<float>() <= 1.0f, "pixels lie in [0,1]");
}

}  // namespace thalweg::fuzz
