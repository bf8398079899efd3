#include "pipelines/align/align_job.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cmath>
#include <ctime>

#include "engine/core/error.h"
#include "engine/weights/lora_file.h"
#include "pipelines/align/run_record.h"
#include "pipelines/align/summary.h"
#include "pipelines/resume.h"

namespace thalweg {
namespace {

class AlignRun {
 public:
  AlignRun(const AlignOptions& options, const Observer& observer)
      : o_(options),
        context_(options, observer),
        method_(method_named(options.method).make(context_)),
        job_hash_(align_job_hash(options)),
        progress_(load_align(context_, *method_, job_hash_)),
        record_(options.output, progress_.next),
        select_(encode_prompts(*context_.model, read_prompts(options.select_prompts, "/prompts/select"))),
        column_(metric_column(*context_.rewards, options.evaluate.metric)) {}

  void run() {
    if (progress_.next == 0) evaluate_held_out(0, context_.space.reference());
    while (progress_.next < o_.iterations) iterate();
    finish();
  }

 private:
  void iterate() {
    auto metrics = method_->iterate(context_, progress_.next);
    const int64_t done = ++progress_.next;
    record_.append(done, "train", metrics);
    record_.append(done, context_.events.take());
    show(done, metrics);
    if (done % o_.evaluate.every == 0 || done == o_.iterations)
      evaluate_held_out(done, context_.space.bind(context_.evaluated()));
    const bool stop = context_.observer.stop_requested();
    if (done % o_.checkpoint.every == 0 || done == o_.iterations || stop)
      save_align(context_, *method_, progress_, job_hash_);
    if (stop) throw Stopped{};
  }

  void show(int64_t done, const Metrics& metrics) {
    Observer::Values shown;
    for (const auto& [name, value] : metrics)
      if (name == "reward") shown.emplace_back(name, value);
    if (std::isfinite(held_out_)) shown.emplace_back("held-out", held_out_);
    context_.observer.progress("align", done, o_.iterations, shown);
  }

  // Scores the prompts that choose the checkpoint; the best parameters are kept.
  void evaluate_held_out(int64_t step, const Velocity& velocity) {
    auto input = evaluation_input(context_, select_, o_.evaluate.pictures);
    input.progress = [&](int64_t done) { context_.observer.progress("held-out", done, select_.size(), {}); };
    const auto evaluation = evaluate(input, velocity);
    Metrics metrics = {{"reward", evaluation.mean_total()}};
    for (int64_t k = 0; k < evaluation.rewards.dimensions(); ++k)
      metrics.emplace_back(evaluation.rewards.names_K[static_cast<size_t>(k)], evaluation.mean(k));
    held_out_ = metric_value(evaluation, column_);
    record_.append(step, "eval", metrics);
    record_.pictures(step, "step-" + std::to_string(step), evaluation.frames_BF3HW);
    context_.observer.message("iteration " + std::to_string(step) + ": held-out " +
                              (o_.evaluate.metric.empty() ? std::string("reward") : o_.evaluate.metric) +
                              " " + std::to_string(held_out_));
    if (step == 0 || !(held_out_ > progress_.best_value)) return;
    progress_.best_value = held_out_;
    progress_.best_step = step;
    progress_.best = cloned(context_.evaluated());
  }

  void finish() {
    const auto summary = summarize(context_, progress_);
    record_.pictures(o_.iterations, "before", summary.before_BF3HW);
    record_.pictures(o_.iterations, "after", summary.after_BF3HW);
    const std::filesystem::path folder = o_.output;
    write_weights(folder);
    const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    write_result(folder, context_, summary, wall, static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
    write_report(folder, context_, summary);
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
      write_lora(folder / "pytorch_lora_weights.safetensors", parameters, lora.rank, lora.alpha, lora.targets,
                 {{"thalweg.method", o_.method}, {"thalweg.seed", std::to_string(o_.seed)}});
    } else {
      context_.model->save(folder / "model", context_.space.backbone_with(parameters));
    }
  }

  const AlignOptions& o_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  AlignContext context_;
  std::unique_ptr<Method> method_;
  std::string job_hash_;
  AlignProgress progress_;
  RunRecord record_;
  PromptSet select_;
  int64_t column_;
  double held_out_ = std::nan("");
};

class AlignJob final : public Job {
 public:
  void describe(Fields& fields) override { thalweg::describe(fields, o_); }

  void check() override {
    require_model(o_.model);
    require_file(o_.train_prompts, "/prompts/train");
    require_file(o_.select_prompts, "/prompts/select");
    require_file(o_.eval_prompts, "/prompts/eval");
    if (o_.rewards.empty()) throw Error("/rewards", "names no reward; there is nothing to align with");
    require_plugins(o_.rewards);
    require_own_checkpoint(o_.output, align_job_hash(o_));  // before anything of that job is overwritten
    method_named(o_.method).check(o_);
  }

  void run(const Observer& observer) override { AlignRun(o_, observer).run(); }
  std::string output() const override { return o_.output; }

 private:
  AlignOptions o_;
};

}  // namespace

std::unique_ptr<Job> make_align_job() {
  return std::make_unique<AlignJob>();
}

}  // namespace thalweg
