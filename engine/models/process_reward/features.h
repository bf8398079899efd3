// What the head of a latent process reward reads: tokens of noised latents and of the prompt.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "engine/models/binder.h"
#include "engine/models/process_reward/config.h"

namespace thalweg {

/// Streams of tokens [B,L,width], float32, of latents at noise level sigma_B.
using FeatureStreams = std::function<std::vector<at::Tensor>(
    const at::Tensor& x_BCFHW, const at::Tensor& sigma_B, const Conditioning& conditioning)>;

class LatentFeatures {
 public:
  virtual ~LatentFeatures() = default;
  virtual int64_t width() const = 0;
  /// How many streams there are.
  virtual int64_t streams() const = 0;
  /// Asks `binder` for what is learned. The streams may outlive this.
  virtual FeatureStreams bind(Binder binder) const = 0;
  /// Prompts as the streams want them, without gradients.
  virtual Conditioning encode(const std::vector<std::string>& prompts) const = 0;
  /// Throws Error (place "") for latents that do not fit.
  virtual void require(int64_t channels, int64_t frames, int64_t height, int64_t width) const = 0;
};

/// The first blocks of the generator in `model` (config.backbone.path, resolved). Throws Error naming the
/// file for a model that is not StableDiffusion3Pipeline, a depth beyond its blocks, or files whose sha256 is
/// not the config's.
std::unique_ptr<LatentFeatures> backbone_features(const ProcessRewardConfig::Backbone& config,
                                                  const std::filesystem::path& model, at::Device device);

/// Throws Error as backbone_features() does for another class or depth. Reads configs alone.
void require_backbone(const std::filesystem::path& model, const ProcessRewardConfig::Backbone& config);

/// sha256 of all files that backbone_features() reads of a model's folder.
std::string backbone_sha256(const std::filesystem::path& model, const ProcessRewardConfig::Backbone& config);

std::unique_ptr<LatentFeatures> own_features(const ProcessRewardConfig::Own& config, int64_t channels);

}  // namespace thalweg
