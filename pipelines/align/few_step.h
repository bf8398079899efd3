// Few-step generators in an `align` job: its steps, what may train one, and what is said of one that is
// exported.
#pragma once

#include <optional>

#include "pipelines/align/options.h"

namespace thalweg {

/// Steps that the job leaves open: of rollouts by fill_steps(), of evaluations those of what is exported.
void fill_steps(AlignOptions& options);

/// Throws Error at /evaluate/steps, /method/name or /sampler for what would not make a few-step generator, or
/// would spoil the one that the model is. Reads configs alone.
void check_few_step(const AlignOptions& options);

/// Levels of the generator that the run exports; none: it exports none.
std::optional<Schedule> exported_levels(const AlignOptions& options, const FlowModel& model);

/// How to draw from it as it was evaluated, for result.json: {"steps", "sigmas", "needs_sigmas" (of
/// diffusers), "diffusers" (the call)}.
Json generator_json(const AlignOptions& options, const FlowModel& model, const Schedule& levels);

/// Writes its scheduler config into the folder of the model or LoRA.
void write_generator(const std::filesystem::path& folder, const FlowModel& model, const Schedule& levels);

}  // namespace thalweg
