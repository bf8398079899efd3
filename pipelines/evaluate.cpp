// The `evaluate` job: mean rewards of a model on prompts, at one or several guidance scales, same noise for
// all.
#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/io/image.h"
#include "pipelines/job.h"
#include "pipelines/models.h"
#include "pipelines/plan/measure.h"
#include "pipelines/plan/scratch.h"
#include "pipelines/scoring.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/reward_failures.h"

namespace thalweg {
namespace {

struct EvaluateOptions {
  ModelSection model;
  PromptSection prompts;
  SizeSection size;
  ScheduleSection schedule;
  int64_t steps = 28, pictures = 64, seed = 0;
  std::vector<double> guidance_scales;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  ParallelSection parallel;
  DeviceSection device;
  std::string output;
};

void describe_evaluate(Fields& f, EvaluateOptions& o) {
  f.object({"model", "what is evaluated", true}, [&](Fields& m) { describe(m, o.model); });
  f.object({"prompts", "held-out prompts", true}, [&](Fields& p) { describe(p, o.prompts); });
  f.object({"size", "of the pictures"}, [&](Fields& s) { describe(s, o.size); });
  f.integer({"steps", "ODE steps"}, o.steps, 1, 1000);
  f.object({"schedule", "noise levels of the steps"}, [&](Fields& s) { describe(s, o.schedule); });
  f.list({"guidance", "one evaluation each; absent: guidance_scale 1"}, o.guidance_scales,
         [](Fields& g, double& scale) {
           g.number({"guidance_scale", "classifier-free guidance", true}, scale, 0.0, 100.0);
         });
  f.list({"rewards", "what to score", true}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.integer({"pictures", "first pictures written as a grid for each guidance scale"}, o.pictures, 0, 1024);
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe(f, o.device);
  f.integer({"seed", "of the noise"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

std::vector<double> scales_of(const EvaluateOptions& o) {
  return o.guidance_scales.empty() ? std::vector<double>{1.0} : o.guidance_scales;
}

class EvaluateJob final : public Job {
 public:
  void describe(Fields& fields) override { describe_evaluate(fields, o_); }

  void check() override {
    o_.device.require();
    require_model(o_.model);
    require_lora_file(o_.model);
    o_.prompts.require();
    if (o_.rewards.empty()) throw Error("/rewards", "names no reward");
    require_plugins(o_.rewards);
  }

  Json run(const Observer& observer) override;
  std::string output() const override { return o_.output; }
  Plan plan(const PlanRequest& request) const override;

 private:
  EvaluateOptions o_;
};

Json EvaluateJob::run(const Observer& observer) {
  const auto device = o_.device.open(observer);
  Workers workers(o_.parallel.worker_count(device), device);
  PhaseClock clock(device);
  const auto model = load_model(o_.model.path, o_.model.options(device));
  PromptSet prompts;
  Conditioning unconditional;
  {
    const PromptEncoder encoder(*model, o_.model.prompt_cache, workers, observer);
    prompts = encoder.encode(o_.prompts.read());
    unconditional = encoder.conditioning({""});
  }
  const auto rewards = make_rewards(o_.rewards, o_.size, o_.parallel.micro_batch, o_.seed, device);
  const auto velocity = bound_with_lora(*model, o_.model, observer);
  EvaluationInput input{
      .model = *model,
      .prompts = prompts,
      .shape = checked_latent_shape(*model, o_.size, "/size"),
      .schedule = schedule_of(o_.schedule, *model, o_.steps, o_.size),
      .guidance_scale = 1.0,
      .unconditional = unconditional,
      .seed = static_cast<uint64_t>(o_.seed),
      .rewards = *rewards,
      .micro_batch = o_.parallel.micro_batch,
      .keep_frames = o_.pictures,
      .workers = workers,
      .clock = clock,
      .progress = [&](int64_t done) { observer.progress("evaluate", done, prompts.size(), {}); },
      .stop_requested = observer.stop_requested};
  const auto scales = scales_of(o_);
  Json result = {{"job", "evaluate"}, {"samples", prompts.size()}, {"evaluations", Json::array()}};
  std::vector<Event> events;
  for (size_t i = 0; i < scales.size(); ++i) {
    input.guidance_scale = scales[i];
    const auto evaluation = evaluate(input, velocity);
    const auto phase = "guidance " + Json(scales[i]).dump();
    if (auto event = failure_event(phase, evaluation.rewards, evaluation.total.valid_B))
      events.push_back(std::move(*event));
    Json row = {{"guidance_scale", scales[i]}, {"reward", evaluation.mean_total()}};
    std::string line = phase + ":";
    for (int64_t k = 0; k < evaluation.rewards.dimensions(); ++k) {
      const auto& name = evaluation.rewards.names_K[static_cast<size_t>(k)];
      row[name] = evaluation.mean(k);
      line += "  " + name + " " + row[name].dump().substr(0, 6);
    }
    result["evaluations"].push_back(std::move(row));
    if (evaluation.frames_BF3HW.defined())
      write_png(std::filesystem::path(o_.output) / ("grid-" + std::to_string(i) + ".png"),
                image_grid(evaluation.frames_BF3HW.select(1, 0), 8));
    observer.message(line);
  }
  write_events(o_.output, events, result, observer);
  result["time_phases"] = phases_json(clock);
  return result;
}

JobLoad evaluate_load(const EvaluateOptions& o) {
  const auto prompts = static_cast<double>(o.prompts.read().prompts.size());
  JobLoad load;
  load.model = o.model;
  load.size = o.size;
  load.parallel = o.parallel;
  const auto schedule = planned_schedule(o.schedule, o.model, o.steps, o.size);
  for (const double scale : scales_of(o))
    load.draws.push_back(
        draw_load("rollout", prompts, ode_settings(o.steps, scale, schedule), o.parallel.micro_batch));
  load.prompts = load.encoded = prompts;
  load.kept_pictures = std::min(static_cast<double>(o.pictures), prompts);
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
  return make_plan("evaluate", load, model_size(o_.model, o_.size), request,
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
