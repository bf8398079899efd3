// The `evaluate` job: mean rewards of a model on prompts, at one or several guidance scales, same noise for
// all.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/io/contact_sheet.h"
#include "engine/io/image.h"
#include "pipelines/generator_steps.h"
#include "pipelines/job.h"
#include "pipelines/models.h"
#include "pipelines/plan/measure.h"
#include "pipelines/plan/scratch.h"
#include "pipelines/resume.h"
#include "pipelines/sampling/store.h"
#include "pipelines/scoring.h"
#include "pipelines/stages/decoration.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/not_finite.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/stages/reward_lines.h"
#include "pipelines/video_section.h"
#include "rewards/open_reward.h"
#include "rewards/plugin.h"

namespace thalweg {
namespace {

struct EvaluateOptions {
  ModelSection model;
  PromptSection prompts;
  SizeSection size;
  ScheduleSection schedule;
  std::string negative_prompt;
  int64_t steps = 0, pictures = 64, seed = 0;
  std::vector<double> guidance_scales;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  ParallelSection parallel;
  DeviceSection device;
  VideoSection video;
  std::string output;
  double checkpoint_s = 20.0;
};

void describe_evaluate(Fields& f, EvaluateOptions& o) {
  f.object({"model", "what is evaluated", true}, [&](Fields& m) {
    describe(m, o.model);
    describe_loras(m, o.model);
  });
  f.object({"prompts", "held-out prompts", true}, [&](Fields& p) { describe(p, o.prompts); });
  f.text({"negative_prompt", "what guidance leads away from; refused where there is none"},
         o.negative_prompt);
  f.object({"size", "of the pictures"}, [&](Fields& s) { describe(s, o.size); });
  f.integer({"steps", "ODE steps; 0: those of the model where it is a few-step generator, or 28"}, o.steps, 0,
            1000);
  f.object({"schedule", "noise levels of the steps"}, [&](Fields& s) { describe(s, o.schedule); });
  f.list(
      {"guidance", "one evaluation each; absent: guidance_scale 1"}, o.guidance_scales,
      [](Fields& g, double& scale) {
        g.number({"guidance_scale", "classifier-free guidance; 1 and below: none", true}, scale, 0.0, 100.0);
      });
  f.list({"rewards", "what to score", true}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.integer({"pictures", "first pictures written as a grid for each guidance scale"}, o.pictures, 0, 1024);
  describe_rate(f, o.video);
  describe_checkpoint(f, o.checkpoint_s);
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe(f, o.device);
  f.integer({"seed", "of the noise"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

Json evaluate_identity(const EvaluateOptions& o) {
  std::vector<InputFile> inputs;
  add_inputs(inputs, o.model);
  if (!o.prompts.path.empty()) inputs.push_back({"/prompts/path", o.prompts.path});
  add_inputs(inputs, o.rewards);
  EvaluateOptions copy = o;
  return run_identity([&](Fields& f) { describe_evaluate(f, copy); }, inputs);
}

std::vector<double> scales_of(const EvaluateOptions& o) {
  return o.guidance_scales.empty() ? std::vector<double>{1.0} : o.guidance_scales;
}

class EvaluateJob final : public Job {
 public:
  void describe(Fields& fields) override { describe_evaluate(fields, o_); }
  void fill_in() override {
    fill_model(o_.model);
    steps_from_ = fill_steps(o_.steps, o_.schedule, o_.model);
  }

  void check() override {
    o_.device.require();
    require_model(o_.model);
    require_outside(o_.output, o_.model);
    require_lora_file(o_.model);
    o_.prompts.require();
    check_schedule(o_.schedule, o_.steps, o_.size, "/schedule");
    require_guided(o_.negative_prompt, o_.guidance_scales);
    if (o_.rewards.empty()) throw Error("/rewards", "names no reward");
    require_plugins(o_.rewards);
    check_videos(o_.video, o_.size.frames, /*writes=*/false);
  }

  void check_folder() const override {
    DrawnStore::require_own(o_.output, [this] { return evaluate_identity(o_); });
  }

  Json run(const Observer& observer) override;
  void clean_up() const override { DrawnStore::remove(o_.output); }
  std::string output() const override { return o_.output; }
  bool resumes() const override { return true; }
  Plan plan(const PlanRequest& request) const override;

 private:
  void write_sheet(const at::Tensor& frames_BF3HW, size_t evaluation, const Observer& observer) const;

  EvaluateOptions o_;
  std::string steps_from_ = "job";
};

// What of the evaluation number `index` is not in the store yet. Sample i has the key index * prompts + i
// there.
void draw_missing(const EvaluationInput& in, const Velocity& velocity, int64_t index, DrawnStore& store) {
  const int64_t total = in.prompts.size(), offset = index * total;
  auto rollout_in = evaluation_rollout(in, velocity);
  rollout_in.rows.clear();
  rollout_in.keep_frames = 0;
  for (const auto first : store.missing(total, in.micro_batch, offset))
    for (int64_t i = first; i < std::min(first + in.micro_batch, total); ++i) {
      rollout_in.rows.push_back({i, i, i});
      if (i < in.keep_frames) ++rollout_in.keep_frames;
    }
  rollout_in.finished = [&](MicroBatch& batch) {
    Drawn drawn;
    drawn.first = offset + batch.rows.front().slot;
    drawn.count = batch.end - batch.begin;
    drawn.rewards = std::move(batch.rewards);
    drawn.not_finite = batch.not_finite;
    drawn.frames = batch.frames_BF3HW;
    batch = {};
    store.add(std::move(drawn));
  };
  try {
    rollout(rollout_in);
  } catch (const Stopped&) {
    store.save();
    throw;
  }
}

// evaluate(), but for what the store has of it.
Evaluation evaluated(const EvaluationInput& in, const Velocity& velocity, int64_t index, DrawnStore& store) {
  draw_missing(in, velocity, index, store);
  Evaluation result;
  std::vector<RewardBatch> rewards;
  std::vector<at::Tensor> frames;
  for (auto& drawn : store.sorted()) {
    if (drawn.first / in.prompts.size() != index) continue;
    rewards.push_back(std::move(drawn.rewards));
    result.not_finite += drawn.not_finite;
    if (drawn.frames.defined()) frames.push_back(drawn.frames);
  }
  result.rewards = concatenate_samples(rewards);
  result.total = combined_alone(in.rewards, result.rewards);
  if (!frames.empty()) result.frames_BF3HW = at::cat(frames);
  return result;
}

void EvaluateJob::write_sheet(const at::Tensor& frames_BF3HW, size_t evaluation,
                              const Observer& observer) const {
  const auto name = "grid-" + std::to_string(evaluation) + ".png";
  decorate(observer, name, [&] {
    const auto frames_N3HW = clip_frames(frames_BF3HW);
    const int64_t columns = clip_columns(frames_BF3HW.size(1));
    write_png(std::filesystem::path(o_.output) / name, contact_sheet(frames_N3HW, columns));
    return sheet_layout(frames_N3HW.size(0), frames_N3HW.size(2), frames_N3HW.size(3), columns).note();
  });
}

Json EvaluateJob::run(const Observer& observer) {
  DrawnStore store(
      o_.output, [this] { return evaluate_identity(o_); }, o_.checkpoint_s);
  auto events = store.load(observer);
  const auto device = o_.device.open(observer);
  Workers workers(o_.parallel.worker_count(device), device);
  PhaseClock clock(device);
  const auto model = load_model(o_.model.path, o_.model.options(device));
  const auto schedule = schedule_of(o_.schedule, *model, o_.steps, o_.size);
  if (auto event = other_levels(o_.model, *model, schedule, o_.size)) events.push_back(std::move(*event));
  PromptSet prompts;
  Conditioning unconditional;
  {
    const PromptEncoder encoder(*model, o_.model.prompt_cache, workers, observer);
    prompts = encoder.encode(o_.prompts.read(), o_.prompts.place());
    encoder.tell_cut({o_.negative_prompt}, "/negative_prompt");
    unconditional = encoder.conditioning({o_.negative_prompt});
  }
  RewardLines lines(observer);
  const auto rewards = make_rewards(o_.rewards, {o_.size, o_.video.fps}, o_.parallel.micro_batch, o_.seed,
                                    device, lines.log());
  rewards->refuse_comparing();
  const auto velocity = bound_with_lora(*model, o_.model, observer);
  EvaluationInput input{.model = *model,
                        .prompts = prompts,
                        .shape = checked_latent_shape(*model, o_.size, "/size"),
                        .schedule = schedule,
                        .guidance_scale = 1.0,
                        .unconditional = unconditional,
                        .seed = static_cast<uint64_t>(o_.seed),
                        .rewards = *rewards,
                        .micro_batch = o_.parallel.micro_batch,
                        .keep_frames = o_.pictures,
                        .workers = workers,
                        .clock = clock,
                        .progress =
                            [&](int64_t done) {
                              lines.show();
                              observer.progress("evaluate", done, prompts.size(), {});
                            },
                        .stop_requested = observer.stop_requested};
  const auto scales = scales_of(o_);
  Json result = {{"job", "evaluate"},
                 {"samples", prompts.size()},
                 {"steps", o_.steps},
                 {"steps_from", steps_from_},
                 {"evaluations", Json::array()}};
  if (const auto there = store.sorted().size(); there > 0)
    observer.message("resuming: " + std::to_string(there) + " micro-batches were drawn before");
  int64_t not_finite = 0;
  bool scored = false;
  for (size_t i = 0; i < scales.size(); ++i) {
    input.guidance_scale = scales[i];
    input.occasion.round = static_cast<int64_t>(i);
    const auto evaluation = evaluated(input, velocity, static_cast<int64_t>(i), store);
    not_finite += evaluation.not_finite;
    const auto phase = "guidance " + Json(scales[i]).dump();
    if (auto event = failure_event(phase, evaluation.rewards, evaluation.total.valid_B))
      events.push_back(std::move(*event));
    scored = scored || any_scored(evaluation.rewards, evaluation.total.valid_B);
    Json row = {{"guidance_scale", scales[i]}, {"reward", evaluation.mean_total()}};
    std::string line = phase + ":";
    for (int64_t k = 0; k < evaluation.rewards.dimensions(); ++k) {
      const auto& name = evaluation.rewards.names_K[static_cast<size_t>(k)];
      row[name] = evaluation.mean(k);
      line += "  " + name + " " + row[name].dump().substr(0, 6);
    }
    result["evaluations"].push_back(std::move(row));
    observer.message(line);
    if (evaluation.frames_BF3HW.defined()) write_sheet(evaluation.frames_BF3HW, i, observer);
  }
  const auto said = lines.take();
  events.insert(events.begin(), said.begin(), said.end());
  write_events(o_.output, events, result, observer);
  require_finite_samples("evaluate", not_finite, static_cast<int64_t>(scales.size()) * prompts.size());
  result["time_phases"] = phases_json(clock);
  if (!scored)
    throw NothingAchieved("/rewards", "not one sample was scored; events.jsonl says why", std::move(result));
  return result;
}

JobLoad evaluate_load(const EvaluateOptions& o) {
  const auto prompts = static_cast<double>(o.prompts.read().prompts.size());
  JobLoad load;
  load.model = o.model;
  load.size = o.size;
  load.parallel = o.parallel;
  load.scored_elsewhere = scores_elsewhere(o.rewards, installed_plugin_dirs());
  const auto schedule = planned_schedule(o.schedule, o.model, o.steps, o.size);
  for (const double scale : scales_of(o))
    load.draws.push_back(
        draw_load("rollout", prompts, ode_settings(o.steps, scale, schedule), o.parallel.micro_batch));
  load.prompts = load.encoded = prompts;
  load.kept_pictures = kEightBit * std::min(static_cast<double>(o.pictures), prompts);
  load.stored_samples = prompts;
  load.stored_latents = 1.0;
  return load;
}

// The first guidance scale on a few prompts; another costs by its number of network calls.
Plan EvaluateJob::plan(const PlanRequest& request) const {
  const auto load = evaluate_load(o_);
  EvaluateJob little;
  little.o_ = o_;
  little.o_.prompts.keep_first(2 * o_.parallel.worker_count() * o_.parallel.micro_batch);
  if (little.o_.guidance_scales.size() > 1) little.o_.guidance_scales.resize(1);
  const auto little_load = evaluate_load(little.o_);
  return make_plan("evaluate", load, model_size(o_.model, o_.size, "/size"), request,
                   {little_load, [&] {
                      auto phases =
                          rehearse_in_scratch(o_.parallel.worker_count(), [&](const std::string& folder) {
                            little.o_.output = folder;
                            return little.run({});
                          });
                      const auto& first = little_load.draws[0];
                      double pictures = 0.0, network = 0.0;
                      for (const auto& draw : load.draws) {
                        const double times = draw.samples / first.samples;
                        pictures += times;
                        network += times * draw.cost.network_evaluations / first.cost.network_evaluations;
                      }
                      for (auto& phase : phases) {
                        const double times = phase.name == kLoadAndEncode ? 1.0
                                             : phase.name == "rollout"    ? network
                                                                          : pictures;
                        phase.wall_s *= times;
                        phase.cpu_s *= times;
                      }
                      return phases;
                    }});
}

}  // namespace

std::unique_ptr<Job> make_evaluate_job() {
  return std::make_unique<EvaluateJob>();
}

}  // namespace thalweg
