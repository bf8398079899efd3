// What a rollout draws: samples, and the micro-batches in which they come.
#pragma once

#include <vector>

#include "engine/core/values.h"
#include "pipelines/stages/image_statistics.h"
#include "rewards/reward_batch.h"
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

}  // namespace thalweg
