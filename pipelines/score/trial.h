// Rewards tried on a few pictures, outside of any run: values, reasons, times, gradients.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "pipelines/score/gradient_trial.h"
#include "pipelines/score/pictures.h"
#include "rewards/activation.h"
#include "rewards/reward_spec.h"

namespace thalweg {

struct TrialOptions {
  int64_t batch = 1;  // pictures of one call, where they have one size
  uint64_t seed = 0;
  at::Device device = at::kCPU;
  RewardLog log;
};

struct TriedPicture {
  std::vector<std::optional<double>> values_K;
  std::vector<std::string> reasons_K;  // why there is no value; "" where there is one
};

/// The calls of one reward.
struct TriedCalls {
  std::string reward;
  int64_t calls = 0;
  double first_s = 0.0, others_s = 0.0;  // wall time, without reading the pictures; that of the others in all
};

struct TriedRewards {
  std::vector<std::string> names_K;  // as RewardSet has them
  std::vector<TriedPicture> pictures;
  std::vector<TriedCalls> calls;
  std::vector<GradientTrial> gradients;  // of the dimensions of rewards that have one, on the first picture
};

/// The entries of a job's "rewards", or the one that the file is. Throws Error naming the file, or at the
/// JSON pointer of what is wrong.
std::vector<RewardSpec> reward_specs_of(const std::string& path);
/// The same of what was read; `place` names it.
std::vector<RewardSpec> reward_specs_in(const Json& json, const std::string& place);

/// What each says of itself once it is ready with its configuration. Throws Error for one that cannot be
/// opened.
std::vector<RewardInfo> ready_rewards(const std::vector<RewardSpec>& specs, const RewardLog& log);

/// Pictures may have different sizes; `prompts` are one a picture or none. Throws Error for a picture that
/// cannot be read, a reward that cannot be opened, and one that requires what is not there (a prompt,
/// latents).
TriedRewards try_rewards(const std::vector<RewardSpec>& specs, const std::vector<PictureFile>& files,
                         const PromptList& prompts, const TrialOptions& options);

}  // namespace thalweg
