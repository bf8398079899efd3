// The scheduler config of a few-step generator: diffusers' FlowMatchEulerDiscreteScheduler, which also says
// the steps that the generator was made for.
#pragma once

#include <filesystem>
#include <optional>

#include "engine/core/json.h"
#include "engine/models/schedulers/flow_match_euler.h"

namespace thalweg {

inline constexpr const char* kFlowMatchEuler = "FlowMatchEulerDiscreteScheduler";
inline constexpr const char* kSchedulerConfig = "scheduler/scheduler_config.json";  // in a pipeline's folder

/// The scheduler of that file, where it says its steps; none: it does not, or there is no such file. Throws
/// Error naming the file for one that is malformed.
std::optional<FlowMatchEuler> read_few_step_scheduler(const std::filesystem::path& file);

struct FewStepConfig {
  Json json;
  bool own_grid = false;  // `num_inference_steps` alone gives diffusers the levels, to 1e-6
};

/// Of a generator that walks `levels`. Its shift is 1, and shift_terminal stretches the even grid of
/// diffusers, which would end at 1/num_train_timesteps, to the last level before 0. Where that gives other
/// levels, diffusers has to be told them (`sigmas=`, which this config leaves as they are). `base`: the
/// config of the model that the generator comes from, or null.
FewStepConfig few_step_config(const Json& base, const Schedule& levels);

/// Writes few_step_config() into a pipeline's folder, or a LoRA's; an index that is there lists it.
void write_few_step_scheduler(const std::filesystem::path& folder, const FewStepConfig& config);

}  // namespace thalweg
