#include "engine/models/wan/video_codec.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/component.h"
#include "engine/models/vae/autoencoder_kl.h"

namespace thalweg {
namespace {

constexpr int64_t kTime = AutoencoderKlWanConfig::kTimeFactor;

/// Kernels with their channels last, as oneDNN multiplies them: of a small autoencoder a third of the time
/// went into reordering. Other devices have layouts of their own.
TensorMap laid_out(TensorMap weights, at::Device device) {
  if (!device.is_cpu()) return weights;
  for (auto& [name, tensor] : weights) {
    if (!name.ends_with(".weight")) continue;
    if (tensor.dim() == 5) tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast3d);
    if (tensor.dim() == 4) tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast);
  }
  return weights;
}

at::Tensor laid_out(const at::Tensor& x_BCFHW) {
  return x_BCFHW.is_cpu() ? x_BCFHW.contiguous(at::MemoryFormat::ChannelsLast3d) : x_BCFHW;
}

}  // namespace

VideoCodec::VideoCodec(const ModelFolder& folder, at::ScalarType dtype, at::Device device,
                       int64_t latent_channels)
    : vae_(bind_component<AutoencoderKlWan>(folder, "vae", parse_component<AutoencoderKlWan>(folder, "vae"),
                                            laid_out(component_weights(folder, "vae"), device), dtype,
                                            device)),
      dtype_(dtype) {
  const auto& c = vae_.config();
  const auto place = (folder.root / "vae" / "config.json").string();
  if (c.z_dim != latent_channels)
    throw Error(place, "\"z_dim\" must be the transformer's in_channels, " + std::to_string(latent_channels));
  if (c.in_channels != 3 || c.out_channels != 3)
    throw Error(place, "\"in_channels\" and \"out_channels\" must be 3: red, green and blue");
}

int64_t VideoCodec::videos_at_once(int64_t height, int64_t width) {
  return std::max<int64_t>(1, (int64_t{1} << 20) / (kTime * height * width));
}

at::Tensor VideoCodec::decode(const at::Tensor& latents_BCFHW) const {
  const auto z = laid_out(vae_.unscaled(latents_BCFHW).to(dtype_));
  if (c10::GradMode::is_enabled() && z.requires_grad())
    return frames_from_pictures(vae_.decode(z).to(at::kFloat)).transpose(1, 2).contiguous();
  const int64_t height = z.size(3) * factor(), width = z.size(4) * factor();
  const auto frames =
      at::empty({z.size(0), kTime * (z.size(2) - 1) + 1, 3, height, width}, z.options().dtype(at::kFloat));
  const auto rows = videos_at_once(height, width);
  for (int64_t begin = 0; begin < z.size(0); begin += rows) {
    const auto some = frames.slice(0, begin, begin + rows);
    int64_t frame = 0;
    vae_.decode_in_chunks(z.slice(0, begin, begin + rows), [&](const at::Tensor& x_BCFHW) {
      const auto next = frame + x_BCFHW.size(2);
      some.slice(1, frame, next).copy_(frames_from_pictures(x_BCFHW.to(at::kFloat)).transpose(1, 2));
      frame = next;
    });
  }
  return frames;
}

at::Tensor VideoCodec::encode(const at::Tensor& frames_BF3HW) const {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (const auto& some : frames_BF3HW.split(videos_at_once(frames_BF3HW.size(3), frames_BF3HW.size(4)))) {
    const auto x_BCFHW = laid_out(some.transpose(1, 2).to(dtype_) * 2.0 - 1.0);
    parts.push_back(vae_.scaled(vae_.encode_moments_in_chunks(x_BCFHW).chunk(2, 1)[0].to(at::kFloat)));
  }
  return at::cat(parts);
}

}  // namespace thalweg
