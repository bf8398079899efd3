#include "pipelines/align/context.h"

#include <utility>

#include "engine/core/names.h"
#include "pipelines/models.h"
#include "pipelines/scoring.h"
#include "pipelines/training/scores.h"

namespace thalweg {

struct AlignContext::Loaded {
  std::unique_ptr<Workers> workers;
  TrainingParts parts;
  PromptSet select, evaluation;

  Loaded(const AlignOptions& o, const Observer& observer) {
    const auto device = o.device.open(observer);
    workers = std::make_unique<Workers>(o.parallel.worker_count(device), device);
    parts.model = load_model(o.model.path, o.model.options(device));
    checked_latent_shape(*parts.model, o.sampler.size, "/sampler");  // before prompts are encoded
    {
      const PromptEncoder encoder(*parts.model, o.model.prompt_cache, *workers, observer);
      parts.prompts = encoder.encode(read_prompts(o.train_prompts, "/prompts/train"));
      select = encoder.encode(read_prompts(o.select_prompts, "/prompts/select"));
      evaluation = encoder.encode(read_prompts(o.eval_prompts, "/prompts/eval"));
      parts.unconditional = encoder.conditioning({""});
    }
    parts.rewards = [&o, device] {
      return make_rewards(o.rewards, o.sampler.size, o.parallel.micro_batch, o.seed, device);
    };
  }
};

namespace {

// What of the LoRA's file was left out.
void note_lora(const PolicySpace& space, const Observer& observer, Events& events) {
  const auto& file = space.lora_file();
  const auto line = lora_note(space.lora(), file);
  if (line.empty()) return;
  observer.message(line);
  events.add({"warn",
              "lora_unmatched",
              line,
              {{"matched", file.matched},
               {"unmatched", file.unmatched.size()},
               {"text_encoder_tensors", file.text_encoder.size()}}});
}

void warn_of_nondeterminism(const RewardSet& rewards, const Observer& observer) {
  std::vector<std::string> names;
  for (const auto& info : rewards.infos(RewardUse::train))
    if (!info.deterministic) names.push_back(info.name);
  if (!names.empty())
    observer.message("warn: " + join(names) +
                     " may score the same picture otherwise: this run cannot be repeated exactly");
}

}  // namespace

AlignContext::AlignContext(const AlignOptions& o, const Observer& observer)
    : AlignContext(o, observer, Loaded(o, observer)) {}

AlignContext::AlignContext(const AlignOptions& o, const Observer& observer, Loaded loaded)
    : options(o),
      observer(observer),
      workers(std::move(loaded.workers)),
      select(std::move(loaded.select)),
      evaluation(std::move(loaded.evaluation)),
      evaluation_clock(loaded.parts.model->device()),
      training(o, observer, *workers, std::move(loaded.parts)),
      method(o.method->start(training)) {
  note_lora(training.space, observer, training.events);
  warn_of_nondeterminism(*training.rewards, observer);
}

EvaluationInput AlignContext::evaluation_input(const PromptSet& prompts, int64_t keep_frames) {
  const auto& model = *training.model;
  return {
      .model = model,
      .prompts = prompts,
      .shape = training.shape,
      .schedule = schedule_of(options.sampler.schedule, model, options.evaluate.steps, options.sampler.size),
      .guidance_scale = options.evaluate.guidance_scale,
      .unconditional = training.unconditional,
      .seed = training.seed(),
      .rewards = *training.rewards,
      .micro_batch = options.parallel.micro_batch,
      .keep_frames = keep_frames,
      .workers = *workers,
      .clock = evaluation_clock,
      .stop_requested = observer.stop_requested};
}

std::vector<PhaseTiming> AlignContext::timings() const {
  auto timings = phase_timings(training.clock, workers->count());
  timings.push_back(whole_timing("evaluation", evaluation_clock, workers->count()));
  return timings;
}

void AlignContext::note_failures(const std::string& phase, const Evaluation& evaluation) {
  if (auto event = thalweg::note_failures(observer, phase, evaluation.rewards, evaluation.total.valid_B))
    training.events.add(std::move(*event));
}

}  // namespace thalweg
