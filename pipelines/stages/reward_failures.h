// Rewards that failed: as an event of the rollout or evaluation in which they did, and as a section of
// result.json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipelines/stages/event.h"
#include "rewards/reward_batch.h"

namespace thalweg {

/// The event "reward_failed" of one batch; none when every sample was scored and no plugin broke a rule.
/// `phase` is rollout, held-out or final; `valid_B` says which samples have a combined reward.
std::optional<Event> failure_event(const std::string& phase, const RewardBatch& raw,
                                   const at::Tensor& valid_B);

/// The same event, of the phase "gradient", for `lost` of `samples` that have a reward and no gradient of it.
Event lost_gradients_event(int64_t lost, int64_t samples, const std::vector<RewardFailure>& failures);

/// Whether any sample has what was asked for: a combined reward, or a value where none is combined.
bool any_scored(const RewardBatch& raw, const at::Tensor& valid_B);

/// {plugin, reason, samples, calls} of each.
Json failures_json(const std::vector<RewardFailure>& failures);
/// The same back; throws Json::exception for anything else.
std::vector<RewardFailure> failures_from_json(const Json& list);

/// "reward_failures" of result.json: rows of events.jsonl summed over plugin, reason and phase, each with the
/// step at which it came first.
Json failure_summary(const std::vector<Json>& event_rows);

}  // namespace thalweg
