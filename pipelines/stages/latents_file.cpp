#include "pipelines/stages/latents_file.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/safetensors.h"

namespace thalweg {

GivenNoise read_noise(const std::string& path, const LatentShape& shape, int64_t count,
                      at::ScalarType dtype) {
  const auto file = read_safetensors(path);
  const auto it = file.tensors.find("latents");
  if (it == file.tensors.end()) throw Error(path, "holds no tensor named latents");
  require_finite(file.tensors, path);
  auto noise = it->second;
  const bool image_rank = noise.dim() == 4;
  if (image_rank) noise = noise.unsqueeze(2);
  const std::vector<int64_t> expected = {count, shape.channels, shape.frames, shape.height, shape.width};
  if (!at::isFloatingType(noise.scalar_type()) || noise.sizes() != at::IntArrayRef(expected)) {
    std::string text;
    for (const auto size : expected) text += (text.empty() ? "" : ",") + std::to_string(size);
    throw Error("/latents",
                path + " must hold floating-point latents [" + text + "] (the frame axis may be left out)");
  }
  return {noise.to(dtype).contiguous(), image_rank};
}

}  // namespace thalweg
