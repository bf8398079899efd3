#include "pipelines/align/summary.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "pipelines/stages/not_finite.h"

namespace thalweg {
namespace {

std::vector<double> values_of(const at::Tensor& values_B) {
  const auto dense = values_B.to(at::kDouble).contiguous();
  return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
}

BaselineScore baseline_of(const Evaluation& e, double scale) {
  BaselineScore score{scale, {}, e.mean_total()};
  for (int64_t k = 0; k < e.rewards.dimensions(); ++k) score.mean_K.push_back(e.mean(k));
  return score;
}

}  // namespace

std::vector<double> column_of(const Evaluation& e, int64_t column) {
  return values_of(column < 0 ? e.total.total_B : e.rewards.values_BK.select(1, column));
}

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

std::string metric_name(const AlignOptions& o) {
  return o.evaluate.metric.empty() ? "reward" : o.evaluate.metric;
}

const char* reference_name(const AlignOptions& o) {
  return o.reference == "base" ? "the base model, without a LoRA" : "the model as loaded";
}

AlignSummary summarize(AlignContext& c, const RunProgress& progress, const TensorMap& exported) {
  const auto& o = c.options;
  auto& t = c.training;
  const auto& prompts = c.evaluation;
  auto input = c.evaluation_input(prompts, o.evaluate.pictures);
  input.occasion = {ScorePhase::final, progress.next};
  const auto scales = static_cast<int64_t>(o.evaluate.base_guidance_scales.size());
  AlignSummary summary;
  summary.iterations = progress.next;
  int64_t done = 0;
  const auto run = [&](const Velocity& velocity) {
    auto evaluation = evaluate(input, velocity);
    ++input.occasion.round;
    c.note_failures("final", evaluation);
    c.observer.progress("final evaluation", ++done, scales + 2, {});
    return evaluation;
  };
  const auto before = run(t.space.reference());
  const auto after = run(t.space.bind(exported));
  require_finite_samples("final evaluation", before.not_finite + after.not_finite, 2 * prompts.size());
  for (const double scale : o.evaluate.base_guidance_scales) {
    input.guidance_scale = scale;
    input.keep_frames = 0;
    summary.baselines.push_back(scale == o.evaluate.guidance_scale
                                    ? baseline_of(before, scale)
                                    : baseline_of(run(t.space.reference()), scale));
  }
  summary.names = {"reward"};
  for (const auto& name : t.rewards->names_K()) summary.names.push_back(name);
  for (int64_t k = -1; k < before.rewards.dimensions(); ++k) {
    summary.differences.push_back(paired_difference(column_of(before, k), column_of(after, k), t.seed()));
    summary.after_means.push_back(metric_value(after, k));
  }
  const auto column = metric_column(*t.rewards, o.evaluate.metric);
  summary.metric = metric_name(o);
  summary.best_step = progress.best_step;
  summary.before_BF3HW = before.frames_BF3HW;
  summary.after_BF3HW = after.frames_BF3HW;
  summary.before_scores = column_of(before, column);
  summary.after_scores = column_of(after, column);
  summary.prompts = prompts.list.prompts;
  return summary;
}

}  // namespace thalweg
