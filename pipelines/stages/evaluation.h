// Scores on held-out prompts: always the same prompts, the same noise, the ODE.
#pragma once

#include "pipelines/stages/rollout.h"
#include "rewards/combine/weighted.h"

namespace thalweg {

struct EvaluationInput {
  const FlowModel& model;
  const PromptSet& prompts;
  LatentShape shape;
  Schedule schedule;
  double guidance_scale = 1.0;
  const Conditioning& unconditional;
  uint64_t seed = 0;
  ScoreOccasion occasion = {ScorePhase::held_out};
  RewardSet& rewards;
  int64_t micro_batch = 16;
  int64_t keep_frames = 0;
  bool picture_statistics = false;
  Workers& workers;
  PhaseClock& clock;
  std::function<void(int64_t done)> progress = [](int64_t) {};
  std::function<bool()> stop_requested = [] { return false; };
};

struct Evaluation {
  RewardBatch rewards;       // one row a prompt
  CombinedReward total;      // transformed and combined, without rewards that compare samples
  at::Tensor frames_BF3HW;   // of the first prompts, as levels of 8 bit: videos are large
  ImageStatistics pictures;  // of all, where asked for
  int64_t not_finite = 0;    // samples that are not; no reward scores them

  /// Mean of the scored values of column `k`; NaN when none is.
  double mean(int64_t k) const;
  double mean_total() const;
};

/// Prompt i starts from the noise (seed, evaluation, i): the same before and after, whatever was trained.
Evaluation evaluate(const EvaluationInput& input, const Velocity& velocity);

/// The rollout that evaluate() is of all prompts, for who wants some of them.
RolloutInput evaluation_rollout(const EvaluationInput& input, const Velocity& velocity);

/// Transforms of the job, then the weighted sum.
CombinedReward combined(const RewardSet& rewards, const RewardBatch& raw);
/// The same of samples that are alone: without the rewards that compare; invalid where that leaves none.
CombinedReward combined_alone(const RewardSet& rewards, const RewardBatch& raw);

}  // namespace thalweg
