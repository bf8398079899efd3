// The `align` job: base evaluation, iterations of a method, checkpoints, final evaluation, report.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/core/clock.h"
#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/path.h"
#include "engine/io/checkpoint.h"
#include "pipelines/align/align_plan.h"
#include "pipelines/align/export.h"
#include "pipelines/align/few_step.h"
#include "pipelines/align/finished.h"
#include "pipelines/align/summary.h"
#include "pipelines/align/trainee.h"
#include "pipelines/job.h"
#include "pipelines/models.h"
#include "pipelines/stages/decoration.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/steering/soft_value.h"
#include "pipelines/training/run.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

// Pictures of the final evaluation, as a multiple of those of a held-out one: before, after, baselines.
double final_evaluations(const AlignContext& c) {
  const auto& e = c.options.evaluate;
  const auto baselines = std::count_if(e.base_guidance_scales.begin(), e.base_guidance_scales.end(),
                                       [&](double scale) { return scale != e.guidance_scale; });
  return static_cast<double>((2 + baselines) * c.evaluation.size()) / static_cast<double>(c.select.size());
}

RunPlan run_plan(const AlignContext& c) {
  const auto& o = c.options;
  const auto& groups = o.method->groups();
  return {.phase = "align",
          .folder = o.output,
          .iterations = o.iterations,
          .evaluate_every = o.evaluate.every,
          .checkpoint = o.checkpoint,
          .shown_metric = "reward",
          .device = c.training.device(),
          .identity = align_identity(o),
          .video = o.video,
          .early_stop = early_stop_of(o),
          .self_check = SelfCheckFacts{.samples = static_cast<double>(groups.samples()),
                                       .updates = static_cast<double>(groups.updates),
                                       .learning_rate = o.optimizer.learning_rate,
                                       .clip_range = o.method->clip_range().value_or(0.0),
                                       .final_evaluations = final_evaluations(c),
                                       .waits = o.method->waits()}};
}

class AlignRun {
 public:
  AlignRun(const AlignOptions& options, const Observer& observer)
      : o_(options),
        c_(options, observer),
        trainee_(c_),
        run_(run_plan(c_), trainee_,
             Monitors(options.monitors, c_.training.rewards->names_K(), c_.training.rewards->weights_K(),
                      options.method->clip_range().value_or(0.0)),
             observer) {}

  Json run() {
    c_.lines->forget(run_.record().event_rows());
    check_export(c_, run_.progress());
    run_.run();
    if (c_.training.policy.steps() == 0)
      throw Error("/method",
                  "not one update was made: each was skipped, since its gradient was not finite or no "
                  "group had two samples with a reward; events.jsonl and metrics.jsonl say more");
    const auto exported = exported_parameters();
    auto summary = summarize(c_, run_.progress(), exported);
    summary.alarms = run_.monitors()->alarms();
    summary.has_held_out = run_.monitors()->has_held_out();
    summary.ended_early = run_.ended_early();
    auto& record = run_.record();
    record.append(summary.iterations, c_.take_events());
    const auto events = record.event_rows();
    summary.reward_failures = failure_summary(events);
    for (const auto& event : events)
      if (event.at("type") == kSelfCheck) summary.self_check = event;
    record.pictures(summary.iterations, "before",
                    {summary.before_BF3HW, summary.prompts, summary.before_scores, summary.metric},
                    c_.observer);
    record.pictures(summary.iterations, "after",
                    {summary.after_BF3HW, summary.prompts, summary.after_scores, summary.metric},
                    c_.observer);
    const fs::path folder = o_.output;
    write_weights(exported);
    const bool reported = decorate(c_.observer, "report.html", [&] {
      write_report(folder, c_, summary);
      return "";
    });
    auto result = result_of(c_, summary, record.elapsed(), process_seconds());
    const auto at = std::find(summary.names.begin(), summary.names.end(), summary.metric);
    const auto& d = summary.differences[static_cast<size_t>(at - summary.names.begin())];
    char line[160];
    std::snprintf(line, sizeof line,
                  "%s on held-out prompts: %.3f -> %.3f (95 %% interval of the difference %+.3f to %+.3f)",
                  summary.metric.c_str(), d.mean_before, d.mean_after, d.low, d.high);
    if (d.n > 0) c_.observer.message(line);
    if (c_.generator)
      c_.observer.message("a generator of " + std::to_string(c_.generator->steps()) +
                          " steps; diffusers: " + result.at("generator").at("diffusers").get<std::string>());
    if (reported) c_.observer.message("report: " + (folder / "report.html").string());
    record.sync();
    if (d.n == 0)
      throw NothingAchieved("/evaluate/metric",
                            summary.metric +
                                " has no value on any prompt of /prompts/eval, before or after: the weights "
                                "are written, and nothing says what they are worth",
                            std::move(result));
    return result;
  }

 private:
  // Of the best held-out evaluation, or without one the last.
  TensorMap exported_parameters() const {
    const auto& best = run_.progress().best;
    return thalweg::exported_parameters(c_.training.space, best.empty() ? c_.training.policy.shown() : best,
                                        o_.export_);
  }

  void write_weights(const TensorMap& exported) const {
    const auto& t = c_.training;
    const auto& progress = run_.progress();
    thalweg::write_weights(o_.output, {o_, *t.model, t.space, trained_rewards(*t.rewards), c_.generator},
                           exported, progress.best.empty() ? progress.next : progress.best_step);
  }

  const AlignOptions& o_;
  AlignContext c_;
  AlignTrainee trainee_;
  TrainingRun run_;
};

class AlignJob final : public Job {
 public:
  void describe(Fields& fields) override { thalweg::describe(fields, o_); }
  void fill_in() override {
    fill_model(o_.model);
    fill_steps(o_);
  }

  void check() override {
    const auto device = o_.device.require();
    if (o_.optimizer.offload && device.is_cpu())
      throw Error("/optimizer/offload",
                  "has no meaning on a CPU: there is one memory. Leave it out, or set /device to a GPU");
    require_model(o_.model);
    require_outside(o_.output, o_.model);
    if (lies_in(fs::path(o_.output) / "model", o_.model.path))
      throw Error("/model/path", "lies where this run writes its own model, " + o_.output +
                                     "/model; choose another output folder");
    const auto& p = o_.prompts;
    for (const auto& file : {p.to_train(), p.to_select(), p.to_eval()}) read_prompts(file);
    if (!p.folder.empty() && !p.train.empty() && !p.select.empty() && !p.eval.empty())
      throw Error(PromptFiles::kFolder, "is read by nothing: train, select and eval are all given");
    if (o_.rewards.empty()) throw Error("/rewards", "names no reward; there is nothing to align with");
    const auto steering = o_.method->steering();
    require_plugins(o_.rewards, followed_by(steering));
    if (serving(o_.rewards, RewardUse::train).empty())
      throw Error(
          "/rewards",
          "trains on nothing: all weights are 0 or of \"use\": \"watch\". Give one a weight that is not 0");
    check_monitors(o_.monitors);
    check_early_stop(o_);
    check_few_step(o_);
    o_.method->check(o_);
    check_pictures();
    check_groups(o_.method->groups(), o_.sampler);
    check_sampler(o_.sampler);
    check_videos(o_.video, o_.sampler.size.frames, o_.evaluate.pictures > 0);
    check_steering(steering, o_.sampler, o_.rewards);
    if (!steering.empty()) check_soft_values(o_.rewards, o_.model.path);
    auto scales = o_.evaluate.base_guidance_scales;
    scales.insert(scales.end(),
                  {o_.sampler.guidance_scale, o_.evaluate.guidance_scale, o_.method->guidance_scale()});
    require_guided(o_.negative_prompt, scales);
  }

  void check_folder() const override {
    require_own_checkpoints(o_.output, [this] { return align_identity(o_); });
    require_not_ended(o_);
  }
  bool is_finished() const override { return thalweg::is_finished(o_); }
  Json run(const Observer& observer) override { return AlignRun(o_, observer).run(); }
  std::string output() const override { return o_.output; }
  bool resumes() const override { return true; }
  bool goes_on() const override { return !list_checkpoints(o_.output).empty(); }
  Plan plan(const PlanRequest& request) const override { return plan_align(o_, request); }

 private:
  // Files are there; whether they can be read is seen when they are.
  void check_pictures() const {
    const auto source = o_.method->pictures();
    if (!source.given()) return;
    const bool draws = o_.method->few_step();  // beside them; it has checked its folder
    if (!draws && !source.folder.empty()) require_file(source.folder, "/method/data/folder");
    picture_files(o_.prompts.to_train(), source);
    if (draws) return;
    if (o_.sampler.guidance_scale > 1.0)
      throw Error("/sampler/guidance_scale",
                  "training on pictures draws no samples to guide; leave this key out (that of the held-out "
                  "pictures is /evaluate/guidance_scale)");
    if (!o_.negative_prompt.empty())
      throw Error(
          "/negative_prompt",
          "training on pictures knows the empty prompt alone: captions are dropped to it, and guidance "
          "leads away from it; leave this key out");
  }

  AlignOptions o_;
};

}  // namespace

std::unique_ptr<Job> make_align_job() {
  return std::make_unique<AlignJob>();
}

}  // namespace thalweg
