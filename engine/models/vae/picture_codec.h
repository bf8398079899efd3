// AutoencoderKL as a picture model's codec: latents of the flow to frames and back.
#pragma once

#include "engine/models/vae/autoencoder_kl.h"
#include "engine/weights/folder.h"

namespace thalweg {

class PictureCodec {
 public:
  /// The component "vae" of the folder. Throws Error naming the file, or where its latents have not
  /// `latent_channels`.
  PictureCodec(const ModelFolder& folder, at::ScalarType dtype, at::Device device, int64_t latent_channels);

  /// Pixels a latent element spans along each side.
  int64_t factor() const { return vae_.config().factor(); }
  /// [B,C,1,H,W] to [B,1,3,H,W] in [0,1], float32; gradients flow.
  at::Tensor decode(const at::Tensor& latents_BCFHW) const;
  /// Its inverse: the mean of the posterior, no gradients.
  at::Tensor encode(const at::Tensor& frames_BF3HW) const;

 private:
  AutoencoderKl vae_;
  at::ScalarType dtype_;
};

}  // namespace thalweg
