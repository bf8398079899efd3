// The steps of a job whose model is a few-step generator, as its scheduler config says
// (engine/models/schedulers/few_step_scheduler.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "pipelines/sections.h"
#include "pipelines/stages/event.h"

namespace thalweg {

struct GeneratorSteps {
  int64_t steps = 0;
  std::filesystem::path file;  // that says so
};

/// Of the section's model with its LoRAs, whose word counts before the folder's; none: no few-step generator.
/// Reads configs alone. Throws Error naming a file that is malformed, and as lora_scheduler() does.
std::optional<GeneratorSteps> generator_steps(const ModelSection& model);
/// The same without its LoRAs.
std::optional<GeneratorSteps> base_generator_steps(const ModelSection& model);

/// Steps that a job leaves open (0) become the generator's own where the noise levels are the model's, else
/// 28. Returns whose word that is, for result.json: "job", "model" or "default".
std::string fill_steps(int64_t& steps, const ScheduleSection& schedule, const ModelSection& model);

/// A warning where the model is a few-step generator and `taken` are other noise levels than its own.
std::optional<Event> other_levels(const ModelSection& section, const FlowModel& model, const Schedule& taken,
                                  const SizeSection& size);

}  // namespace thalweg
