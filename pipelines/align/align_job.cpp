#include "pipelines/align/align_job.h"

#include <ATen/ATen.h>

#include <cmath>
#include <ctime>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/weights/lora_file.h"
#include "pipelines/align/align_plan.h"
#include "pipelines/align/lora_metadata.h"
#include "pipelines/align/measures.h"
#include "pipelines/align/summary.h"
#include "pipelines/stages/reward_failures.h"

namespace thalweg {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

class AlignRun {
 public:
  AlignRun(const AlignOptions& options, const Observer& observer)
      : o_(options),
        context_(options, observer),
        method_(method_named(options.method).make(context_)),
        identity_(align_identity(options)),
        start_(load_align(context_, *method_, identity_)),
        saved_(start_.resumed.checkpoint.has_value()),
        record_(options.output, start_.resumed.checkpoint, progress_.next, progress_.elapsed_s),
        column_(metric_column(*context_.rewards, options.evaluate.metric)),
        monitors_(options.monitors, context_.rewards->names_K(), context_.rewards->weights_K(),
                  options.method == "flow_grpo" ? options.flow_grpo.clip_range : 0.0) {
    remove_path(std::filesystem::path(options.output) / "result.json");  // of an earlier end
    record_.append(progress_.next, start_.resumed.events);
    // What the checkpoint holds: its alarms stand in events.jsonl already.
    for (const auto& row : MetricsLog::read_all(std::filesystem::path(options.output) / "metrics.jsonl"))
      monitors_.observe(row);
  }

  void run() {
    try {
      while (true) {
        if (evaluation_is_due()) evaluate_held_out(progress_.next);
        if (checkpoint_is_due()) save();
        if (progress_.next == o_.iterations) break;
        iterate();
      }
      finish();
    } catch (const Stopped&) {
      // An iteration that was given up before its first update is done again from its start.
      if (!saved_) save();
      throw;
    }
  }

 private:
  bool evaluation_is_due() const {
    const int64_t step = progress_.next;
    return progress_.evaluated < step && (step % o_.evaluate.every == 0 || step == o_.iterations);
  }

  // The best evaluation's is kept, so there is one.
  bool checkpoint_is_due() const {
    const int64_t step = progress_.next;
    if (saved_ || step == 0) return false;
    const bool best = !progress_.best.empty() && progress_.best_step == step;
    return step % o_.checkpoint.every == 0 || step == o_.iterations || best;
  }

  void save() {
    save_align(context_, *method_, progress_, identity_, record_);
    saved_ = true;
  }

  void iterate() {
    const auto timings_before = phase_timings(context_);
    const auto started = Clock::now();
    const double cpu_before = cpu_seconds();
    auto metrics = trained();
    const int64_t done = ++progress_.next;
    saved_ = false;
    auto timings = difference(timings_before, phase_timings(context_));
    timings.push_back({"iteration", seconds_since(started), cpu_seconds() - cpu_before});
    monitor(record_.append(done, "train", metrics, timings));
    record_.append(done, context_.events.take());
    show(done, metrics);
    if (context_.observer.stop_requested()) throw Stopped{};
  }

  // What went wrong is on record even when it ends the run.
  Metrics trained() {
    try {
      return method_->iterate(context_, progress_.next);
    } catch (const Stopped&) {
      context_.events.take();  // the iteration is done again
      throw;
    } catch (...) {
      record_.append(progress_.next + 1, context_.events.take());
      throw;
    }
  }

  void monitor(const Json& row) {
    for (auto& event : monitors_.observe(row)) {
      context_.observer.message(event.level + ": " + event.message);
      context_.events.add(std::move(event));
    }
  }

  void show(int64_t done, const Metrics& metrics) {
    Observer::Values shown;
    for (const auto& [name, value] : metrics)
      if (name == "reward") shown.emplace_back(name, value);
    if (std::isfinite(progress_.held_out)) shown.emplace_back("held-out", progress_.held_out);
    context_.observer.progress("align", done, o_.iterations, shown);
  }

  // Scores the prompts that choose the checkpoint; the best parameters are kept.
  void evaluate_held_out(int64_t step) {
    const auto velocity = step == 0 ? context_.space.reference() : context_.space.bind(context_.evaluated());
    auto input = evaluation_input(context_, context_.prompts.select, o_.evaluate.pictures);
    input.progress = [&](int64_t done) {
      context_.observer.progress("held-out", done, input.prompts.size(), {});
    };
    const auto evaluation = evaluate(input, velocity);
    progress_.held_out = metric_value(evaluation, column_);
    progress_.evaluated = step;
    saved_ = false;
    monitor(record_.append(step, "eval", evaluation_metrics(evaluation)));
    note_failures(context_, "held-out", evaluation.rewards, evaluation.total.valid_B);
    record_.append(step, context_.events.take());
    record_.pictures(step, "step-" + std::to_string(step), evaluation.frames_BF3HW);
    context_.observer.message("iteration " + std::to_string(step) + ": held-out " +
                              (o_.evaluate.metric.empty() ? std::string("reward") : o_.evaluate.metric) +
                              " " + std::to_string(progress_.held_out));
    if (step == 0 || !(progress_.held_out > progress_.best_value)) return;
    progress_.best_value = progress_.held_out;
    progress_.best_step = step;
    progress_.best = cloned(context_.evaluated());
  }

  void finish() {
    auto summary = summarize(context_, progress_);
    summary.alarms = monitors_.alarms();
    summary.has_held_out = monitors_.has_held_out();
    record_.append(o_.iterations, context_.events.take());
    summary.reward_failures = failure_summary(record_.event_rows());
    record_.pictures(o_.iterations, "before", summary.before_BF3HW);
    record_.pictures(o_.iterations, "after", summary.after_BF3HW);
    const std::filesystem::path folder = o_.output;
    write_weights(folder);
    write_report(folder, context_, summary);
    write_result(folder, context_, summary, record_.elapsed(),
                 cpu_seconds());  // last: it says that all is there
    const auto& d = summary.differences[static_cast<size_t>(column_ + 1)];
    char line[160];
    std::snprintf(line, sizeof line,
                  "%s on held-out prompts: %.3f -> %.3f (95 %% interval of the difference %+.3f to %+.3f)",
                  summary.metric.c_str(), d.mean_before, d.mean_after, d.low, d.high);
    context_.observer.message(line);
    context_.observer.message("report: " + (folder / "report.html").string());
  }

  void write_weights(const std::filesystem::path& folder) const {
    const auto& parameters = progress_.best.empty() ? context_.evaluated() : progress_.best;
    if (context_.space.is_lora()) {
      const auto& lora = context_.space.lora();
      write_lora(
          folder / "pytorch_lora_weights.safetensors", parameters, lora.rank, lora.alpha, lora.targets,
          lora_metadata(context_, parameters, progress_.best.empty() ? o_.iterations : progress_.best_step));
    } else {
      const auto whole = folder / ".model.tmp";
      remove_path(whole);
      context_.model->save(whole, context_.space.backbone_with(parameters));
      sync_tree(whole);
      replace_folder(whole, folder / "model");
    }
  }

  const AlignOptions& o_;
  AlignContext context_;
  std::unique_ptr<Method> method_;
  Json identity_;
  AlignStart start_;
  AlignProgress& progress_ = start_.progress;
  bool saved_;  // a checkpoint holds this very state
  RunRecord record_;
  int64_t column_;
  Monitors monitors_;
};

class AlignJob final : public Job {
 public:
  void describe(Fields& fields) override { thalweg::describe(fields, o_); }

  void check() override {
    device_named(o_.device, "/device");
    require_model(o_.model);
    read_prompts(o_.train_prompts, "/prompts/train");
    read_prompts(o_.select_prompts, "/prompts/select");
    read_prompts(o_.eval_prompts, "/prompts/eval");
    if (o_.rewards.empty()) throw Error("/rewards", "names no reward; there is nothing to align with");
    require_plugins(o_.rewards);
    check_monitors(o_.monitors);
    // Before anything of another job is overwritten.
    require_own_checkpoints(o_.output, [this] { return align_identity(o_); });
    method_named(o_.method).check(o_);
    check_sampler(o_.sampler);
  }

  void run(const Observer& observer) override {
    if (is_finished(o_))
      return observer.message("this job is finished: " + o_.output +
                              "/report.html (to run it anew, remove the folder)");
    AlignRun(o_, observer).run();
  }
  std::string output() const override { return o_.output; }
  bool resumes() const override { return true; }
  Plan plan(PlanMode mode) const override { return plan_align(o_, mode); }

 private:
  AlignOptions o_;
};

}  // namespace

std::unique_ptr<Job> make_align_job() {
  return std::make_unique<AlignJob>();
}

}  // namespace thalweg
