#include "pipelines/training/scores.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/core/error.h"
#include "engine/core/statistics.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/not_finite.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/training/measures.h"

namespace thalweg {
namespace {

Scores scores_of(const RewardSet& rewards, const std::vector<MicroBatch>& batches) {
  Scores scores;
  scores.raw = rewards_of(batches);
  scores.transformed = rewards.transform(scores.raw);
  scores.weights_K = rewards.weights_K();
  scores.total = weighted(scores.transformed, scores.weights_K);
  for (const auto& batch : batches)
    for (const auto& row : batch.rows) scores.group_B.push_back(row.group);
  return scores;
}

// By any trained reward: each may be meant for some of the samples alone.
bool any_scored(const Scores& scores) {
  for (size_t k = 0; k < scores.weights_K.size(); ++k)
    if (scores.weights_K[k] != 0.0 &&
        scores.transformed.valid_BK.select(1, static_cast<int64_t>(k)).any().item<bool>())
      return true;
  return false;
}

}  // namespace

void require_totals(const Scores& scores) {
  if (!scores.total.valid_B.any().item<bool>())
    scores.policy.give_up("not one sample of the rollout was scored" + failure_reasons(scores.raw.failures));
}

Scores score(Training& t, const std::vector<MicroBatch>& batches, Metrics& metrics) {
  auto scores = scores_of(*t.rewards, batches);
  const auto& raw = scores.raw;
  const auto& total = scores.total;
  metrics.emplace_back("reward", masked_mean(total.total_B, total.valid_B));
  for (int64_t k = 0; k < raw.dimensions(); ++k)
    metrics.emplace_back("reward_" + raw.names_K[static_cast<size_t>(k)],
                         masked_mean(raw.values_BK.select(1, k), raw.valid_BK.select(1, k)));
  if (auto event = note_failures(t.observer, "rollout", raw, total.valid_B)) t.events.add(std::move(*event));
  // Some may overflow in 16 bit, and are masked; where all do, nothing is left to train.
  if (const auto bad = not_finite(batches); bad == raw.batch()) require_finite_samples("rollout", bad, bad);
  scores.policy = {t.options.failed_rewards, t.policy.steps() > 0};
  if (!any_scored(scores)) require_totals(scores);
  scores.policy.require("the rollout", raw, scores.weights_K);
  add_measures(raw, pictures_of(batches), scores.group_B, metrics);
  metrics.emplace_back("masked_samples",
                       static_cast<double>(total.valid_B.numel()) - total.valid_B.sum().item<double>());
  return scores;
}

std::optional<Event> note_failures(const Observer& observer, const std::string& phase, const RewardBatch& raw,
                                   const at::Tensor& valid_B) {
  auto event = failure_event(phase, raw, valid_B);
  if (event) observer.message(event->message);
  return event;
}

}  // namespace thalweg
