#include "pipelines/align/summary.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace thalweg {
namespace {

std::vector<double> values_of(const at::Tensor& values_B) {
  const auto dense = values_B.to(at::kDouble).contiguous();
  return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
}

std::vector<double> column_of(const Evaluation& e, int64_t column) {
  return values_of(column < 0 ? e.total.total_B : e.rewards.values_BK.select(1, column));
}

BaselineScore baseline_of(const Evaluation& e, double scale) {
  BaselineScore score{scale, {}, e.mean_total()};
  for (int64_t k = 0; k < e.rewards.dimensions(); ++k) score.mean_K.push_back(e.mean(k));
  return score;
}

}  // namespace

int64_t metric_column(const RewardSet& rewards, const std::string& metric) {
  if (metric.empty()) return -1;
  const auto& names = rewards.names_K();
  const auto it = std::find(names.begin(), names.end(), metric);
  if (it == names.end())
    throw Error("/evaluate/metric", "no reward is named \"" + metric + "\"" + suggestion(metric, names));
  return it - names.begin();
}

double metric_value(const Evaluation& e, int64_t column) {
  return column < 0 ? e.mean_total() : e.mean(column);
}

EvaluationInput evaluation_input(AlignContext& c, const PromptSet& prompts, int64_t keep_frames) {
  return {.model = *c.model,
          .prompts = prompts,
          .shape = c.shape,
          .schedule = schedule_of(c.options.sampler.schedule, *c.model, c.options.evaluate.steps,
                                  c.options.sampler.size),
          .guidance_scale = c.options.evaluate.guidance_scale,
          .unconditional = c.prompts.unconditional,
          .seed = c.seed(),
          .rewards = *c.rewards,
          .micro_batch = c.options.parallel.micro_batch,
          .keep_frames = keep_frames,
          .workers = c.workers,
          .clock = c.evaluation_clock,
          .stop_requested = c.observer.stop_requested};
}

AlignSummary summarize(AlignContext& c, const AlignProgress& progress) {
  const auto& o = c.options;
  const auto& prompts = c.prompts.evaluation;
  auto input = evaluation_input(c, prompts, o.evaluate.pictures);
  const auto scales = static_cast<int64_t>(o.evaluate.base_guidance_scales.size());
  AlignSummary summary;
  int64_t done = 0;
  const auto run = [&](const Velocity& velocity) {
    auto evaluation = evaluate(input, velocity);
    note_failures(c, "final", evaluation.rewards, evaluation.total.valid_B);
    c.observer.progress("final evaluation", ++done, scales + 2, {});
    return evaluation;
  };
  const auto before = run(c.space.reference());
  const auto after = run(c.space.bind(progress.best.empty() ? c.evaluated() : progress.best));
  for (const double scale : o.evaluate.base_guidance_scales) {
    input.guidance_scale = scale;
    input.keep_frames = 0;
    summary.baselines.push_back(scale == o.evaluate.guidance_scale
                                    ? baseline_of(before, scale)
                                    : baseline_of(run(c.space.reference()), scale));
  }
  summary.names = {"reward"};
  for (const auto& name : c.rewards->names_K()) summary.names.push_back(name);
  for (int64_t k = -1; k < before.rewards.dimensions(); ++k) {
    summary.differences.push_back(paired_difference(column_of(before, k), column_of(after, k), c.seed()));
    summary.after_means.push_back(metric_value(after, k));
  }
  const auto column = metric_column(*c.rewards, o.evaluate.metric);
  summary.metric = column < 0 ? "reward" : o.evaluate.metric;
  summary.best_step = progress.best_step;
  summary.before_BF3HW = before.frames_BF3HW;
  summary.after_BF3HW = after.frames_BF3HW;
  summary.before_scores = column_of(before, column);
  summary.after_scores = column_of(after, column);
  summary.prompts = prompts.list.prompts;
  return summary;
}

}  // namespace thalweg
