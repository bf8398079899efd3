#include "pipelines/stages/evaluation.h"

#include <algorithm>
#include <cmath>

#include "engine/core/device.h"
#include "engine/core/statistics.h"
#include "engine/io/image.h"
#include "samplers/guidance/cfg.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"

namespace thalweg {

double Evaluation::mean(int64_t k) const {
  return masked_mean(rewards.values_BK.select(1, k), rewards.valid_BK.select(1, k));
}

double Evaluation::mean_total() const {
  return masked_mean(total.total_B, total.valid_B);
}

RolloutInput evaluation_rollout(const EvaluationInput& in, const Velocity& velocity) {
  RolloutInput rollout_in{
      .model = in.model,
      .prompts = in.prompts,
      .rows = {},
      .shape = in.shape,
      .schedule = in.schedule,
      .velocity = cfg(in.guidance_scale, on_device(in.unconditional, in.model.device()))(velocity),
      .sampler = [](const SamplerInput& s) { return sample_transitions(s, ode()); },
      .seed = in.seed,
      .noise = Purpose::evaluation,
      .occasion = in.occasion,
      .initial_noise_NCFHW = {},
      .rewards = &in.rewards,
      .whole_groups = false,
      .picture_statistics = in.picture_statistics,
      .micro_batch = in.micro_batch,
      .keep_frames = in.keep_frames,
      .workers = in.workers,
      .clock = in.clock,
      .finished =
          [](MicroBatch& batch) {
            if (batch.frames_BF3HW.defined()) batch.frames_BF3HW = eight_bit(batch.frames_BF3HW);
          },
      .progress = in.progress,
      .stop_requested = in.stop_requested};
  for (int64_t i = 0; i < in.prompts.size(); ++i) rollout_in.rows.push_back({i, i, i});
  return rollout_in;
}

Evaluation evaluate(const EvaluationInput& in, const Velocity& velocity) {
  const auto batches = rollout(evaluation_rollout(in, velocity));
  Evaluation result;
  result.rewards = rewards_of(batches);
  result.total = combined_alone(in.rewards, result.rewards);
  result.frames_BF3HW = frames_of(batches);
  result.not_finite = not_finite(batches);
  if (in.picture_statistics) result.pictures = pictures_of(batches);
  return result;
}

CombinedReward combined(const RewardSet& rewards, const RewardBatch& raw) {
  return weighted(rewards.transform(raw), rewards.weights_K());
}

CombinedReward combined_alone(const RewardSet& rewards, const RewardBatch& raw) {
  if (!rewards.compares()) return combined(rewards, raw);
  const auto weights_K = rewards.weights_alone_K();
  auto total = weighted(rewards.transform(raw), weights_K);
  if (std::any_of(weights_K.begin(), weights_K.end(), [](double weight) { return weight != 0.0; }))
    return total;
  return {at::full_like(total.total_B, NAN), at::zeros_like(total.valid_B)};
}

}  // namespace thalweg
