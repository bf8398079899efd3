#include "pipelines/generator_steps.h"

#include "engine/core/noise_levels.h"
#include "engine/models/schedulers/few_step_scheduler.h"

namespace thalweg {
namespace {

std::optional<GeneratorSteps> steps_in(const std::filesystem::path& file) {
  const auto scheduler = read_few_step_scheduler(file);
  if (!scheduler) return std::nullopt;
  return GeneratorSteps{scheduler->few_steps, file};
}

}  // namespace

std::optional<GeneratorSteps> generator_steps(const ModelSection& model) {
  const auto beside_lora = lora_scheduler(model);
  return beside_lora.empty() ? base_generator_steps(model) : steps_in(beside_lora);
}

std::optional<GeneratorSteps> base_generator_steps(const ModelSection& model) {
  if (model.path.empty()) return std::nullopt;
  return steps_in(std::filesystem::path(model.path) / kSchedulerConfig);
}

std::string fill_steps(int64_t& steps, const ScheduleSection& schedule, const ModelSection& model) {
  constexpr int64_t kDefault = 28;
  if (steps > 0) return "job";
  const auto generator = schedule.name == "model" ? generator_steps(model) : std::nullopt;
  steps = generator ? generator->steps : kDefault;
  return generator ? "model" : "default";
}

std::optional<Event> other_levels(const ModelSection& section, const FlowModel& model, const Schedule& taken,
                                  const SizeSection& size) {
  const auto generator = generator_steps(section);
  if (!generator) return std::nullopt;
  const auto own = model.schedule(generator->steps, size.height, size.width);
  if (largest_difference(taken, own) <= kSameLevels) return std::nullopt;
  const auto count = [](int64_t steps) { return std::to_string(steps) + (steps == 1 ? " step" : " steps"); };
  const bool other_count = taken.steps() != own.steps();
  return Event{"warn",
               "generator_steps",
               "model: " + generator->file.string() + " says that it is a generator of " +
                   count(own.steps()) + ", and it draws with " +
                   (other_count ? count(taken.steps()) : "other noise levels") +
                   " here: not what it was made for",
               {{"model", own.steps()}, {"taken", taken.steps()}}};
}

}  // namespace thalweg
