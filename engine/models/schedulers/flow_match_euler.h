// FlowMatchEulerDiscreteScheduler of diffusers: the noise levels that a folder's scheduler_config.json asks
// for. Its step is Euler's method, which is a sampler's business here.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "engine/core/json.h"
#include "engine/core/values.h"

namespace thalweg {

/// Keys of ours in such a config, which diffusers passes over as it does every name that begins with "_": the
/// steps K that a few-step generator was made for, and its K levels before 0 where the other keys do not give
/// them.
inline constexpr const char *kFewSteps = "_num_inference_steps", *kFewSigmas = "_sigmas";

struct FlowMatchEuler {
  enum class Spacing { uniform, karras, exponential, beta };

  double shift = 1.0;
  int64_t num_train_timesteps = 1000;
  bool dynamic = false;  // the shift grows with the picture, `shift` counts for nothing
  bool linear = false;   // and is mu itself, not e^mu
  double base_shift = 0.5, max_shift = 1.15;
  int64_t base_tokens = 256, max_tokens = 4096;
  std::optional<double> shift_terminal;        // the last level before 0 that the levels are stretched to
  Spacing spacing = Spacing::uniform;          // of the levels between the first and the last
  std::optional<double> sigma_min, sigma_max;  // first and last, of another spacing than the uniform one
  int64_t few_steps = 0;                       // K of a few-step generator (few_step_scheduler.h); 0: of none
  std::vector<double> few_sigmas;              // its levels before 0; empty: those that the keys above give
};

/// Of the keys that diffusers honours, and the two of few_step_scheduler.h; keys that neither knows change
/// nothing there and here. Throws Error naming `path` and the key for a value out of bounds, two spacings at
/// once, and what is not had here (invert_sigmas, stochastic_sampling).
FlowMatchEuler parse_flow_match_euler(const Json& config, const std::filesystem::path& path);

/// The levels that a pipeline asks the scheduler for, before they are shifted.
enum class FlowGrid {
  training,  // the scheduler's own, down to 1/num_train_timesteps; a fixed shift acts twice at its end
  even,      // 1, 1 - 1/steps, ..., 1/steps: FluxPipeline
};

/// steps + 1 levels that end in 0, for pictures of `tokens` patches (heeded by a dynamic shift alone). Throws
/// Error naming `path` where the config gives no levels for these.
Schedule flow_match_schedule(const FlowMatchEuler& scheduler, int64_t steps, int64_t tokens,
                             const std::filesystem::path& path, FlowGrid grid = FlowGrid::training);

}  // namespace thalweg
