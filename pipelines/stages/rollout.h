// rollout -> decode -> score, micro-batch by micro-batch on the workers. Training, evaluation and the
// `sample` job all draw their pictures here. Where a reward is computed elsewhere, other threads wait for it
// and the workers go on: at most two micro-batches a worker are there at a time.
#pragma once

#include <functional>

#include "engine/core/rng.h"
#include "engine/parallel/workers.h"
#include "pipelines/observer.h"
#include "pipelines/stages/micro_batch.h"
#include "pipelines/stages/phase_clock.h"
#include "pipelines/stages/prompt_set.h"
#include "samplers/sampler.h"

namespace thalweg {

struct RolloutInput {
  const FlowModel& model;
  const PromptSet& prompts;
  std::vector<SampleRow> rows;
  int64_t particles = 1;  // samples that the sampler draws for a row; it returns one of them, or all
  LatentShape shape;
  Schedule schedule;
  Velocity velocity;  // guided
  std::function<Trajectory(const SamplerInput&)> sampler;
  uint64_t seed = 0;
  Purpose noise = Purpose::initial_noise;
  ScoreOccasion occasion = {ScorePhase::score};  // what the samples are scored for
  at::Tensor initial_noise_NCFHW;                // of all particles of all rows; undefined: drawn
  RewardSet* rewards = nullptr;
  bool whole_groups = true;        // rows of a group are all there: rewards that compare are asked, too
  bool picture_statistics = true;  // of what is scored
  int64_t micro_batch = 16;
  std::vector<int64_t> cuts = {};  // ascending rows at which a micro-batch must begin (updates)
  int64_t keep_frames = 0;         // of the first rows; others are dropped once scored
  Workers& workers;
  PhaseClock& clock;
  /// Told of each micro-batch by the thread that scored it; it may take from it what rollout() need not
  /// return.
  std::function<void(MicroBatch&)> finished = [](MicroBatch&) {};
  std::function<void(int64_t done)> progress = [](int64_t) {};  // rows done so far; called under a lock
  std::function<bool()> stop_requested = [] { return false; };  // asked before each micro-batch
  int64_t most_decoded = 0;  // samples at once, where a row has many particles; 0: a micro-batch's
};

/// Throws Error when a reward lacks an input, Stopped when asked to stop. A reward that fails masks its
/// samples (rewards.valid_BK).
std::vector<MicroBatch> rollout(const RolloutInput& input);

/// Rewards of all micro-batches in row order.
RewardBatch rewards_of(const std::vector<MicroBatch>& batches);

/// Statistics of all scored pictures in row order.
ImageStatistics pictures_of(const std::vector<MicroBatch>& batches);

/// Samples of all micro-batches that are not finite.
int64_t not_finite(const std::vector<MicroBatch>& batches);

/// Kept frames of all micro-batches in row order.
at::Tensor frames_of(const std::vector<MicroBatch>& batches);

}  // namespace thalweg
