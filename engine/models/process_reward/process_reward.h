// A process reward of noised latents, r(x_t, t, prompt): a frozen part read once, and what is learned, bound
// over named tensors. Saved as a folder: config.json and model.safetensors.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "engine/models/process_reward/features.h"

namespace thalweg {

/// [B], float32, of latents at noise level sigma_B. Before scale and offset.
using NoisyValue = std::function<at::Tensor(const at::Tensor& x_BCFHW, const at::Tensor& sigma_B,
                                            const Conditioning& conditioning)>;

class ProcessReward {
 public:
  /// `model`: the backbone's folder, not read by a network of its own. Throws as backbone_features() does.
  ProcessReward(const ProcessRewardConfig& config, const std::filesystem::path& model, at::Device device);

  const ProcessRewardConfig& config() const { return config_; }
  const LatentFeatures& features() const { return *features_; }
  /// What is learned.
  const std::vector<ParameterSpec>& specs() const { return specs_; }
  /// `place` names the parameters in errors. Gradients flow into those that ask for them.
  NoisyValue bind(const TensorMap& parameters, const std::string& place) const;

 private:
  NoisyValue bind(Binder binder) const;

  ProcessRewardConfig config_;
  std::shared_ptr<const LatentFeatures> features_;
  std::vector<ParameterSpec> specs_;
};

/// Writes the folder; a backbone's path in `config` is that of the working directory and is written relative
/// to the folder.
void save_process_reward(const std::filesystem::path& folder, ProcessRewardConfig config,
                         const TensorMap& parameters);

/// One that was saved, in its own units: offset + scale * network.
struct SavedProcessReward {
  std::shared_ptr<const ProcessReward> structure;
  NoisyValue value;
};
/// `model`: where the backbone is now; empty: where the config says. Throws Error naming the file for what is
/// missing, malformed, of another class, or does not fit together.
SavedProcessReward load_process_reward(const std::filesystem::path& folder,
                                       const std::filesystem::path& model, at::Device device);

}  // namespace thalweg
