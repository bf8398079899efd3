#include "pipelines/align/context.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "pipelines/align/few_step.h"
#include "pipelines/generator_steps.h"
#include "pipelines/models.h"
#include "pipelines/scoring.h"
#include "pipelines/training/scores.h"

namespace thalweg {

namespace {

void require_gradients(const AlignOptions& o, const RewardSet& rewards) {
  const auto infos = rewards.infos(RewardUse::train);
  const auto entries = serving(o.rewards, RewardUse::train);
  for (size_t i = 0; i < infos.size(); ++i) {
    if (infos[i].least_of_group > 0)
      throw Error(o.rewards[entries[i]].pointer,
                  o.method.name() + " follows the gradient of every trained reward, and \"" + infos[i].name +
                      "\" compares the samples of a group: it has none for a sample by itself");
    if (infos[i].gradient_of == GradientOf::none)
      throw Error(o.rewards[entries[i]].pointer,
                  o.method.name() + " follows the gradient of every trained reward, and \"" + infos[i].name +
                      "\" as configured has none: it offers values alone, of " + join(infos[i].dimensions_K) +
                      ". `thalweg plugins` says which have one; with \"use\": \"watch\" it is scored and not "
                      "trained");
  }
}

}  // namespace

struct AlignContext::Loaded {
  std::unique_ptr<RewardLines> lines;
  std::unique_ptr<Workers> workers;
  TrainingParts parts;
  PromptSet select, evaluation;

  Loaded(const AlignOptions& o, const Observer& observer) : lines(std::make_unique<RewardLines>(observer)) {
    const auto device = o.device.open(observer);
    workers = std::make_unique<Workers>(o.parallel.worker_count(device), device);
    auto options = o.model.options(device);
    options.masters_on_host = o.optimizer.offload;
    parts.model = load_model(o.model.path, options);
    // Before prompts are encoded.
    checked_latent_shape(*parts.model, o.sampler.size, "/sampler");
    schedule_of(o.sampler.schedule, *parts.model, o.sampler.steps, o.sampler.size);
    {
      const PromptEncoder encoder(*parts.model, o.model.prompt_cache, *workers, observer);
      const auto encoded = [&](const PromptFile& file) {
        return encoder.encode(read_prompts(file), file.path);
      };
      parts.prompts = encoded(o.prompts.to_train());
      select = encoded(o.prompts.to_select());
      evaluation = encoded(o.prompts.to_eval());
      encoder.tell_cut({o.negative_prompt}, "/negative_prompt");
      parts.unconditional = encoder.conditioning({o.negative_prompt});
    }
    if (const auto source = o.method->pictures(); source.given())
      parts.pictures = encode_pictures(*parts.model, picture_files(o.prompts.to_train(), source), source,
                                       o.sampler.size, *workers, observer);
    if (const auto folder = o.method->teacher(); !folder.empty() && !o.model.has_lora)
      parts.teacher = other_backbone(*parts.model, folder, options, "/method/teacher");
    parts.rewards = [&o, device, log = lines->log()] {
      auto rewards =
          make_rewards(o.rewards, {o.sampler.size, o.video.fps}, o.parallel.micro_batch, o.seed, device, log);
      if (o.method->follows_gradients()) require_gradients(o, *rewards);
      return rewards;
    };
  }
};

namespace {

// What of the LoRA's file was left out.
std::optional<Event> unmatched_lora(const PolicySpace& space) {
  const auto& file = space.lora_file();
  const auto line = lora_note(space.lora(), file);
  if (line.empty()) return std::nullopt;
  return Event{"warn",
               "lora_unmatched",
               line,
               {{"matched", file.matched},
                {"unmatched", file.unmatched.size()},
                {"text_encoder_tensors", file.text_encoder.size()}}};
}

// A model that is a few-step generator and is drawn from otherwise, in rollouts or evaluations.
std::optional<Event> other_levels_of(const AlignContext& c) {
  const auto& o = c.options;
  if (o.method->few_step()) return std::nullopt;
  const auto of = [&](const Schedule& taken) {
    return other_levels(o.model, *c.training.model, taken, o.sampler.size);
  };
  auto event = of(c.training.schedule);
  return event ? event : of(c.evaluation_schedule());
}

int64_t shared(const PromptSet& held_out, const PromptSet& other) {
  const std::set<std::string> known(other.list.prompts.begin(), other.list.prompts.end());
  return std::count_if(held_out.list.prompts.begin(), held_out.list.prompts.end(),
                       [&](const auto& prompt) { return known.contains(prompt); });
}

// Prompts that are called held out and are not.
std::optional<Event> shared_prompts_of(const AlignContext& c) {
  struct Pair {
    const char *held_out, *other;
    const PromptSet &those, &in;
  };
  const Pair pairs[] = {{"eval", "train", c.evaluation, c.training.prompts},
                        {"eval", "select", c.evaluation, c.select},
                        {"select", "train", c.select, c.training.prompts}};
  Json counts = Json::object();
  std::string line;
  for (const auto& [held_out, other, those, in] : pairs) {
    const auto count = shared(those, in);
    if (count == 0) continue;
    counts[std::string(held_out) + "_in_" + other] = count;
    line += (line.empty() ? "" : ", ") + std::to_string(count) + " of the " + std::to_string(those.size()) +
            " of /prompts/" + held_out + " are in /prompts/" + other;
  }
  if (line.empty()) return std::nullopt;
  return Event{
      "warn", "prompts_shared",
      "prompts: " + line + "; what is reported of them is not of prompts that the run has never seen",
      std::move(counts)};
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
      lines(std::move(loaded.lines)),
      workers(std::move(loaded.workers)),
      select(std::move(loaded.select)),
      evaluation(std::move(loaded.evaluation)),
      evaluation_clock(loaded.parts.model->device()),
      training(o, observer, *workers, std::move(loaded.parts)),
      method(o.method->start(training)),
      generator(exported_levels(o, *training.model)) {
  const auto shared = shared_prompts_of(*this);
  if (shared) shared_prompts = shared->message;
  for (const auto& event : {unmatched_lora(training.space), other_levels_of(*this), shared})
    if (event) start_events.push_back(*event);
  for (const auto& event : start_events) observer.message(event.message);
  warn_of_nondeterminism(*training.rewards, observer);
}

EvaluationInput AlignContext::evaluation_input(const PromptSet& prompts, int64_t keep_frames) {
  const auto& model = *training.model;
  return {.model = model,
          .prompts = prompts,
          .shape = training.shape,
          .schedule = evaluation_schedule(),
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

Schedule AlignContext::evaluation_schedule() const {
  return schedule_of(options.sampler.schedule, *training.model, options.evaluate.steps, options.sampler.size);
}

std::vector<PhaseTiming> AlignContext::timings() const {
  auto timings = phase_timings(training.clock, workers->count());
  timings.push_back(whole_timing("evaluation", evaluation_clock, workers->count()));
  return timings;
}

std::vector<Event> AlignContext::take_events() {
  auto events = lines->take();
  for (auto& event : training.events.take()) events.push_back(std::move(event));
  return events;
}

void AlignContext::note_failures(const std::string& phase, const Evaluation& evaluation) {
  if (auto event = thalweg::note_failures(observer, phase, evaluation.rewards, evaluation.total.valid_B))
    training.events.add(std::move(*event));
}

}  // namespace thalweg
