// The `train_reward` job: a reward is learned from the outcomes of a model's own samples, and saved for the
// plugins that load it.
#include "engine/core/clock.h"
#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/path.h"
#include "engine/io/checkpoint.h"
#include "engine/io/metrics.h"
#include "pipelines/generator_steps.h"
#include "pipelines/job.h"
#include "pipelines/machine_paths.h"
#include "pipelines/models.h"
#include "pipelines/report/page.h"
#include "pipelines/resume.h"
#include "pipelines/stages/decoration.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/train_reward/reward_training.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

RunPlan run_plan(const TrainRewardOptions& o, at::Device device) {
  return {.phase = "train_reward",
          .folder = o.output,
          .iterations = o.iterations,
          .evaluate_every = o.evaluate.every,
          .checkpoint = o.checkpoint,
          .shown_metric = "loss",
          .device = device,
          .identity = train_reward_identity(o)};
}

void write_report(const TrainRewardOptions& o, const Json& result, const LearnerRun& learner,
                  const std::vector<PhaseTiming>& timings) {
  const fs::path folder = o.output;
  Report report;
  report.title = o.name.empty() ? last_component(folder.string()) : o.name;
  report.subtitle = o.learner.name() + " on " + last_component(o.model.path);
  report.status = "succeeded";
  report.headline = {{"Learner", o.learner.name()},
                     {"Iterations", std::to_string(o.iterations)},
                     {"Checkpoint", "after iteration " + result.at("checkpoint").at("step").dump()}};
  learner.report(result, MetricsLog::read_all(folder / "metrics.jsonl"), report);
  for (const auto& timing : timings) report.timings.push_back({timing.phase, timing.wall, timing.cpu});
  TrainRewardOptions copy = o;
  report.job = without_machine_paths(write_fields([&](Fields& f) { describe(f, copy); }));
  write_synced(folder / "report.html", render_report(report));
}

Json run_training(const TrainRewardOptions& o, const Observer& observer) {
  RewardTraining training(o, observer);
  const auto learner = o.learner->start(training);
  TrainingRun run(run_plan(o, training.device()), *learner, std::nullopt, observer);
  training.lines->forget(run.record().event_rows());
  run.run();
  const auto& progress = run.progress();
  const auto best = progress.best.empty() ? learner->shown() : progress.best;
  Json result = {{"job", "train_reward"}, {"learner", o.learner.name()}, {"iterations", o.iterations}};
  result["checkpoint"] = {{"step", progress.best.empty() ? progress.next : progress.best_step},
                          {"on", o.prompts.to_select().path}};
  result.update(learner->finish(o.output, best));
  run.record().append(progress.next, learner->take_events());
  result["reward_failures"] = failure_summary(run.record().event_rows());
  result["time_wall_s"] = run.record().elapsed();
  result["time_cpu_s"] = process_seconds();
  for (const auto& timing : learner->timings())
    result["time_phases"][timing.phase] = {{"wall_s", timing.wall}, {"cpu_s", timing.cpu}};
  result["memory_peak_bytes"] = peak_memory(training.device());
  decorate(observer, "report.html", [&] {
    write_report(o, result, *learner, learner->timings());
    return "";
  });
  run.record().sync();
  return without_machine_paths(result);
}

class TrainRewardJob final : public Job {
 public:
  void describe(Fields& fields) override { thalweg::describe(fields, o_); }
  void fill_in() override {
    fill_model(o_.model);
    fill_steps(o_.sampler.steps, o_.sampler.schedule, o_.model);
  }

  void check() override {
    o_.device.require();
    if (o_.optimizer.offload)
      throw Error("/optimizer/offload", "is for policies; what is learned here is small: leave it out");
    if (o_.optimizer.max_skipped > 0)
      throw Error("/optimizer/max_skipped", "is not watched by this job: leave it out");
    require_model(o_.model);
    require_outside(o_.output, o_.model);
    require_lora_file(o_.model);
    for (const auto& file : {o_.prompts.to_train(), o_.prompts.to_select(), o_.prompts.to_eval()})
      read_prompts(file);
    if (o_.rewards.empty()) throw Error("/rewards", "names no reward: what finished samples are worth");
    require_plugins(o_.rewards);
    if (serving(o_.rewards, RewardUse::train).empty())
      throw Error("/rewards", "gives no outcome: all weights are 0 or of \"use\": \"watch\"");
    check_sampler(o_.sampler);
    check_videos(o_.video, o_.sampler.size.frames, /*writes=*/false);
    require_guided(o_.negative_prompt, {o_.sampler.guidance_scale});
    o_.learner->check(o_);
  }

  void check_folder() const override {
    require_own_checkpoints(o_.output, [this] { return train_reward_identity(o_); });
  }
  Json run(const Observer& observer) override { return run_training(o_, observer); }
  std::string output() const override { return o_.output; }
  bool resumes() const override { return true; }
  bool goes_on() const override { return !list_checkpoints(o_.output).empty(); }

 private:
  TrainRewardOptions o_;
};

}  // namespace

std::unique_ptr<Job> make_train_reward_job() {
  return std::make_unique<TrainRewardJob>();
}

}  // namespace thalweg
