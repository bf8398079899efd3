// The `evaluate` job: mean rewards of a model on prompts, at one or several guidance scales, same noise for
// all.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/contact_sheet.h"
#include "engine/io/image.h"
#include "pipelines/evaluate/drawn.h"
#include "pipelines/evaluate/options.h"
#include "pipelines/generator_steps.h"
#include "pipelines/job.h"
#include "pipelines/models.h"
#include "pipelines/plan/measure.h"
#include "pipelines/plan/scratch.h"
#include "pipelines/scoring.h"
#include "pipelines/stages/decoration.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/not_finite.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/stages/reward_lines.h"

namespace thalweg {
namespace {

class EvaluateJob final : public Job {
 public:
  void describe(Fields& fields) override { thalweg::describe(fields, o_); }
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
  ShownSamples shown_samples(const Evaluation& evaluation, double scale,
                             const std::vector<std::string>& prompts) const;
  void write_sheet(const at::Tensor& frames_BF3HW, size_t evaluation, const Observer& observer) const;

  EvaluateOptions o_;
  std::string steps_from_ = "job";
};

// Of several scales fewer each, so that the page stays small.
ShownSamples EvaluateJob::shown_samples(const Evaluation& evaluation, double scale,
                                        const std::vector<std::string>& prompts) const {
  const auto scales = static_cast<int64_t>(scales_of(o_).size());
  const auto count = std::min(evaluation.frames_BF3HW.size(0), std::max<int64_t>(4, kReportSamples / scales));
  ShownSamples shown{
      .title = "Guidance scale " + Json(scale).dump(), .total = prompts.size(), .fps = o_.video.fps};
  shown.prompts.assign(prompts.begin(), prompts.begin() + count);
  shown.scores = first_scores(evaluation.total, count);
  shown.frames_F3HW = [frames_BF3HW = evaluation.frames_BF3HW](int64_t i) { return frames_BF3HW[i]; };
  return shown;
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
  std::vector<GridPair> grids;
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
    if (!evaluation.frames_BF3HW.defined()) continue;
    write_sheet(evaluation.frames_BF3HW, i, observer);
    decorate(observer, "report.html", [&] {
      grids.push_back(grid_of(shown_samples(evaluation, scales[i], prompts.list.prompts), o_.output));
      return "";
    });
  }
  const auto said = lines.take();
  events.insert(events.begin(), said.begin(), said.end());
  write_events(o_.output, events, result, observer);
  require_finite_samples("evaluate", not_finite, static_cast<int64_t>(scales.size()) * prompts.size());
  result["time_phases"] = phases_json(clock);
  EvaluateOptions copy = o_;
  auto report =
      scored_report(o_.output, result, write_fields([&](Fields& f) { thalweg::describe(f, copy); }), scored);
  report.grids = std::move(grids);
  write_scored_report(o_.output, std::move(report), {}, observer);
  if (!scored)
    throw NothingAchieved("/rewards", "not one sample was scored; events.jsonl says why", std::move(result));
  return result;
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
