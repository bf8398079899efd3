// AutoencoderKLWan as a video model's codec: latents of the flow to frames and back.
#pragma once

#include "engine/models/wan/autoencoder_kl_wan.h"
#include "engine/weights/folder.h"

namespace thalweg {

class VideoCodec {
 public:
  /// The component "vae" of the folder. Throws Error naming the file, or where its latents have not
  /// `latent_channels`.
  VideoCodec(const ModelFolder& folder, at::ScalarType dtype, at::Device device, int64_t latent_channels);

  /// Pixels a latent element spans along each side.
  int64_t factor() const { return vae_.config().factor(); }
  /// Videos that pass together: as many as four frames of them are a picture of 1024 x 1024, or one.
  static int64_t videos_at_once(int64_t height, int64_t width);

  /// [B,C,f,h,w] to [B,4f-3,3,H,W] in [0,1], float32. Latents that ask for gradients pass whole, others in
  /// chunks, each written where it stays: beside the result there are the activations of four frames.
  at::Tensor decode(const at::Tensor& latents_BCFHW) const;
  /// Its inverse: the mean of the posterior, in chunks, no gradients.
  at::Tensor encode(const at::Tensor& frames_BF3HW) const;

 private:
  AutoencoderKlWan vae_;
  at::ScalarType dtype_;
};

}  // namespace thalweg
