// What `pretrain` makes: the parts of a pipeline of one family, from the configs in the job to a diffusers
// folder. A batch of samples is [B,F,3,H,W] in [-1,1]; latents have the family's own shape.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/values.h"
#include "pipelines/pretraining/world.h"

namespace thalweg {

struct Autoencoder {
  std::function<at::Tensor(const at::Tensor& x_BF3HW)> moments;  // mean and log variance, axis 1
  std::function<at::Tensor(const at::Tensor& z)> decode;         // raw latents -> [B,F,3,H,W]
};

class Blueprint {
 public:
  virtual ~Blueprint() = default;

  /// Writes tokenizers, model_index.json and every config but the VAE's.
  virtual void write(const std::filesystem::path& folder) const = 0;

  virtual TensorMap initial_autoencoder(uint64_t seed) const = 0;
  /// Over weights of initial_autoencoder()'s names, which must outlive it.
  virtual Autoencoder autoencoder(const TensorMap& weights) const = 0;
  /// Of one sample's latents.
  virtual std::vector<int64_t> latent_sizes() const = 0;
  /// The VAE's config.json with what makes latents of this distribution, posterior means [N,...], enter the
  /// flow around 0 with deviation 1.
  virtual Json autoencoder_config(const at::Tensor& latents) const = 0;
  /// Samples to the flow's latents by the VAE of `folder`, in `dtype`.
  virtual std::function<at::Tensor(const at::Tensor& x_BF3HW)> encoder(const std::filesystem::path& folder,
                                                                       at::ScalarType dtype) const = 0;

  /// Of transformer and text encoders, "COMPONENT/NAME".
  virtual TensorMap initial_flow(uint64_t seed) const = 0;
  /// Whether Muon takes a matrix of that name.
  virtual bool is_block_matrix(const std::string& name) const = 0;
  /// Token ids [B,L] by the tokenizers of `folder`.
  virtual at::Tensor ids(const std::filesystem::path& folder,
                         const std::vector<std::string>& captions) const = 0;
  /// v of x, noised latents, at sigma; `weights` of initial_flow()'s names in the dtype to compute in.
  virtual at::Tensor velocity(const TensorMap& weights, const at::Tensor& x, const at::Tensor& sigma_B,
                              const at::Tensor& ids_BL) const = 0;
  /// Writes initial_flow()'s tensors, the transformer's in `dtype`. Text encoders are written in float32:
  /// transformers opens a file in its own dtype, diffusers in float32, and the two must meet.
  virtual void write_flow(const std::filesystem::path& folder, const TensorMap& tensors,
                          at::ScalarType dtype) const = 0;
};

/// Throws Error at /architecture where a component's config cannot be used, or at the key that does not fit
/// the family.
std::unique_ptr<Blueprint> make_blueprint(const PretrainOptions& options, const World& world);

std::unique_ptr<Blueprint> make_sd3_blueprint(const PretrainOptions& options, const World& world);
std::unique_ptr<Blueprint> make_wan_blueprint(const PretrainOptions& options, const World& world);

}  // namespace thalweg
