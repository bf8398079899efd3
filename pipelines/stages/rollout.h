// rollout -> decode -> score, micro-batch by micro-batch on the workers. Training, evaluation and the
// `sample` job all draw their pictures here.
#pragma once

#include <functional>

#include "engine/core/rng.h"
#include "engine/parallel/workers.h"
#include "pipelines/observer.h"
#include "pipelines/stages/image_statistics.h"
#include "pipelines/stages/phase_clock.h"
#include "pipelines/stages/prompt_set.h"
#include "samplers/sampler.h"

namespace thalweg {

/// One sample: which prompt, which group, which noise stream. Particle p of N has the stream N slot + p.
struct SampleRow {
  int64_t prompt = 0, group = 0, slot = 0;
  int64_t noise_slot = slot;  // of the initial noise: samples may share it
};

struct MicroBatch {
  int64_t begin = 0, end = 0;   // of the input's rows
  std::vector<SampleRow> rows;  // of the samples that came back
  Conditioning conditioning;
  Trajectory trajectory;
  at::Tensor frames_BF3HW;   // undefined unless kept
  RewardBatch rewards;       // raw; no columns without rewards. What is not finite is scored by none
  int64_t not_finite = 0;    // samples whose latents or frames are not
  ImageStatistics pictures;  // of what was scored; undefined without rewards or where they are not wanted

  std::vector<int64_t> slot_B() const;
};

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
  bool picture_statistics = true;  // of what is scored
  int64_t micro_batch = 16;
  std::vector<int64_t> cuts = {};  // ascending rows at which a micro-batch must begin (updates)
  int64_t keep_frames = 0;         // of the first rows; others are dropped once scored
  Workers& workers;
  PhaseClock& clock;
  /// Told of each micro-batch by the worker that drew it; it may take from it what rollout() need not return.
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
