#include "engine/models/vae/picture_codec.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/error.h"
#include "engine/models/component.h"

namespace thalweg {

PictureCodec::PictureCodec(const ModelFolder& folder, at::ScalarType dtype, at::Device device,
                           int64_t latent_channels)
    : vae_(bind_component<AutoencoderKl>(folder, "vae", parse_component<AutoencoderKl>(folder, "vae"),
                                         component_weights(folder, "vae"), dtype, device)),
      dtype_(dtype) {
  if (vae_.config().latent_channels != latent_channels)
    throw Error(folder.root.string(), "the VAE's latents have " +
                                          std::to_string(vae_.config().latent_channels) +
                                          " channels, the transformer's " + std::to_string(latent_channels));
}

at::Tensor PictureCodec::decode(const at::Tensor& latents_BCFHW) const {
  const auto z = vae_.unscaled(latents_BCFHW.squeeze(2)).to(dtype_);
  std::vector<at::Tensor> parts;
  for (const auto& some : z.split(vae_.config().pictures_at_once(z.size(2) * factor(), z.size(3) * factor())))
    parts.push_back(frames_from_pictures(vae_.decode(some).to(at::kFloat)));
  return (parts.size() == 1 ? parts[0] : at::cat(parts)).unsqueeze(1);
}

at::Tensor PictureCodec::encode(const at::Tensor& frames_BF3HW) const {
  const c10::NoGradGuard no_grad;
  const auto x = frames_BF3HW.squeeze(1).to(dtype_) * 2.0 - 1.0;
  std::vector<at::Tensor> parts;
  for (const auto& some : x.split(vae_.config().pictures_at_once(x.size(2), x.size(3))))
    parts.push_back(vae_.scaled(vae_.encode_moments(some).chunk(2, 1)[0].to(at::kFloat)));
  return at::cat(parts).unsqueeze(2);
}

}  // namespace thalweg
