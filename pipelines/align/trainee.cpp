#include "pipelines/align/trainee.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "pipelines/align/lora_metadata.h"
#include "pipelines/align/summary.h"
#include "pipelines/stages/not_finite.h"
#include "pipelines/training/measures.h"

namespace thalweg {
namespace {

// Of the metric; -1: the combined reward.
int64_t held_out_column(const RewardSet& rewards, const std::string& metric) {
  const auto column = metric_column(rewards, metric);
  const auto weights_K = rewards.weights_alone_K();
  const bool has_value = column < 0 ? std::any_of(weights_K.begin(), weights_K.end(),
                                                  [](double weight) { return weight != 0.0; })
                                    : !rewards.comparing_K()[static_cast<size_t>(column)];
  if (rewards.compares() && !has_value)
    throw Error("/evaluate/metric",
                "is of a reward that compares the samples of a group, and held-out pictures are alone: name "
                "another reward here, for which \"use\": \"watch\" is enough");
  return column;
}

}  // namespace

AlignTrainee::AlignTrainee(AlignContext& context)
    : c_(context),
      column_(held_out_column(*c_.training.rewards, c_.options.evaluate.metric)),
      notes_(notes_of(trained_rewards(*c_.training.rewards), c_.training.space, c_.generator)) {}

HeldOut AlignTrainee::evaluate(int64_t step) {
  auto& t = c_.training;
  auto input = c_.evaluation_input(c_.select, c_.options.evaluate.pictures);
  input.occasion = {ScorePhase::held_out, step, step};
  input.picture_statistics = true;
  input.progress = [&](int64_t done) { c_.observer.progress("held-out", done, input.prompts.size(), {}); };
  const auto evaluation =
      thalweg::evaluate(input, step == 0 ? t.space.reference() : t.space.bind(t.policy.shown()));
  c_.note_failures("held-out", evaluation);
  require_finite_samples("held-out evaluation of step " + std::to_string(step), evaluation.not_finite,
                         input.prompts.size());
  FailurePolicy(c_.options.failed_rewards, t.policy.steps() > 0)
      .require("the held-out evaluation", evaluation.rewards, t.rewards->weights_alone_K());
  require_value(step, evaluation);
  return {metric_value(evaluation, column_),
          metric_name(c_.options),
          evaluation_metrics(evaluation),
          {evaluation.frames_BF3HW, c_.select.list.prompts, column_of(evaluation, column_),
           metric_name(c_.options)}};
}

void AlignTrainee::state(RunState& state) {
  c_.training.roles.state(state);
  c_.method->state(state);
  notes_.state(state);
}

// A run whose gain nobody will be able to tell ends before it has begun. Later one evaluation may fail.
void AlignTrainee::require_value(int64_t step, const Evaluation& evaluation) const {
  if (std::isfinite(metric_value(evaluation, column_))) return;
  const auto what = metric_name(c_.options) + " has no value on the prompts of /prompts/select" +
                    failure_reasons(evaluation.rewards.failures);
  if (step == 0) throw Error("/evaluate/metric", what + "; nothing would choose the checkpoint");
  c_.observer.message("warn: " + what + "; this evaluation chooses no checkpoint");
}

}  // namespace thalweg
