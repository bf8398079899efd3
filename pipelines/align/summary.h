// The end of an `align` run: reference against aligned model on the reported prompts, result and report.html.
#pragma once

#include <filesystem>

#include "engine/core/statistics.h"
#include "pipelines/align/context.h"
#include "pipelines/training/run.h"

namespace thalweg {

struct BaselineScore {
  double guidance_scale = 1.0;
  std::vector<double> mean_K;
  double mean_total = 0.0;
};

struct AlignSummary {
  std::vector<std::string> names;                   // "reward", then each "plugin/dimension"
  std::vector<PairedDifference> differences;        // aligned - reference, same prompts, noise, sampler
  std::vector<BaselineScore> baselines;             // the reference at the scales asked for
  std::vector<double> after_means;                  // per name
  std::vector<std::string> prompts;                 // of the pictures
  at::Tensor before_BF3HW, after_BF3HW;             // pictures of the first prompts
  std::vector<double> before_scores, after_scores;  // of the metric, per picture
  std::string metric;
  int64_t best_step = 0;
  Json reward_failures = Json::array();  // of the whole run, see failure_summary
  std::vector<Alarm> alarms;             // in the order in which they were raised
  bool has_held_out = false;             // a reward that is scored and not trained
  int64_t iterations = 0;                // that were done
  std::string ended_early;               // why; empty: all iterations were done
  Json self_check;                       // its row of events.jsonl
};

/// Evaluates the reference and the `exported` parameters on the prompts of /prompts/eval.
AlignSummary summarize(AlignContext& context, const RunProgress& progress, const TensorMap& exported);

/// Column of rewards.names_K that `metric` names, or -1 for the combined reward. Throws Error at
/// /evaluate/metric.
int64_t metric_column(const RewardSet& rewards, const std::string& metric);

/// What the aligned model is held against, in words.
const char* reference_name(const AlignOptions& options);

/// The metric's name; "reward": the combined one.
std::string metric_name(const AlignOptions& options);

/// Of each prompt; NaN: not scored.
std::vector<double> column_of(const Evaluation& evaluation, int64_t column);

/// Value of the metric in an evaluation.
double metric_value(const Evaluation& evaluation, int64_t column);

/// What result.json says of the run.
Json result_of(const AlignContext& context, const AlignSummary& summary, double wall_s, double cpu_s);
void write_report(const std::filesystem::path& folder, const AlignContext& context,
                  const AlignSummary& summary);

}  // namespace thalweg
