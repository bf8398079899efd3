#include "pipelines/align/few_step.h"

#include "engine/core/error.h"
#include "engine/core/noise_levels.h"
#include "engine/models/schedulers/few_step_scheduler.h"
#include "pipelines/generator_steps.h"
#include "pipelines/models.h"

namespace thalweg {
namespace {

std::string said(const GeneratorSteps& generator) {
  return "is a generator of " + std::to_string(generator.steps) + " steps, as " + generator.file.string() +
         " says";
}

// Of the model that a method of few steps learns from.
void require_teacher(const AlignOptions& o) {
  if (const auto folder = o.method->teacher(); !folder.empty()) {
    ModelSection own;
    own.path = folder;
    if (const auto teacher = base_generator_steps(own))
      throw Error("/method/teacher", said(*teacher) + "; name the model that it was made from");
    return;
  }
  const auto teacher = o.reference == "base" ? base_generator_steps(o.model) : generator_steps(o.model);
  if (!teacher) return;
  throw Error("/method/name", "\"" + o.method.name() +
                                  "\" needs a teacher of many steps, and the job's reference " +
                                  said(*teacher) +
                                  (o.reference == "loaded" && !base_generator_steps(o.model)
                                       ? "; with \"reference\": \"base\" it is the model without the LoRA"
                                       : "; start from the model that it was made from"));
}

// A generator stays one where it is trained on its own steps.
void require_own_steps(const AlignOptions& o, const GeneratorSteps& generator) {
  if (o.sampler.steps != generator.steps)
    throw Error("/sampler/steps",
                "must be " + std::to_string(generator.steps) + ": the model " + said(generator));
  const auto levels = [&](const ScheduleSection& schedule) {
    return planned_schedule(schedule, o.model, generator.steps, o.sampler.size);
  };
  if (largest_difference(levels(o.sampler.schedule), levels({})) > kSameLevels)
    throw Error("/sampler/schedule",
                "gives other noise levels than the model's, which " + said(generator) + "; leave it out");
}

Json scheduler_of(const FlowModel& model) {
  for (const auto& file : model.files())
    if (file.name == kSchedulerConfig) return parse_json_file(file.source, kMaxConfigBytes);
  return nullptr;
}

}  // namespace

void fill_steps(AlignOptions& o) {
  fill_steps(o.sampler.steps, o.sampler.schedule, o.model);
  if (o.evaluate.steps == 0 && o.method->few_step()) o.evaluate.steps = o.sampler.steps;
  fill_steps(o.evaluate.steps, o.sampler.schedule, o.model);
}

void check_few_step(const AlignOptions& o) {
  if (o.method->few_step()) {
    if (o.evaluate.steps != o.sampler.steps)
      throw Error("/evaluate/steps", "must be /sampler/steps, " + std::to_string(o.sampler.steps) +
                                         ": what is exported is a generator of so many steps");
    return require_teacher(o);
  }
  const auto generator = generator_steps(o.model);
  if (!generator || o.force) return;
  if (o.method->denoises())
    throw Error("/method/name",
                "a denoising loss blurs a few-step generator (TDM-R1, arXiv 2603.07700), and the "
                "model " +
                    said(*generator) + "; \"force\": true beside it trains it all the same");
  require_own_steps(o, *generator);
}

std::optional<Schedule> exported_levels(const AlignOptions& o, const FlowModel& model) {
  const auto& size = o.sampler.size;
  if (o.method->few_step()) return schedule_of(o.sampler.schedule, model, o.sampler.steps, size);
  if (const auto generator = generator_steps(o.model))
    return model.schedule(generator->steps, size.height, size.width);
  return std::nullopt;
}

Json generator_json(const AlignOptions& o, const FlowModel& model, const Schedule& levels) {
  const std::vector<double> sigmas(levels.sigmas.begin(), levels.sigmas.end() - 1);
  const bool own = few_step_config(scheduler_of(model), levels).own_grid;
  const auto call = "pipe(prompt, num_inference_steps=" + std::to_string(levels.steps()) +
                    ", guidance_scale=" + Json(o.evaluate.guidance_scale).dump() +
                    (own ? "" : ", sigmas=" + Json(sigmas).dump()) + ")";
  return {{"steps", levels.steps()}, {"sigmas", sigmas}, {"needs_sigmas", !own}, {"diffusers", call}};
}

void write_generator(const std::filesystem::path& folder, const FlowModel& model, const Schedule& levels) {
  write_few_step_scheduler(folder, few_step_config(scheduler_of(model), levels));
}

}  // namespace thalweg
