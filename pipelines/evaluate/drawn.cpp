#include "pipelines/evaluate/drawn.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "pipelines/job.h"

namespace thalweg {
namespace {

void draw_missing(const EvaluationInput& in, const Velocity& velocity, int64_t index, DrawnStore& store) {
  const int64_t total = in.prompts.size(), offset = index * total;
  auto rollout_in = evaluation_rollout(in, velocity);
  rollout_in.rows.clear();
  rollout_in.keep_frames = 0;
  for (const auto first : store.missing(total, in.micro_batch, offset))
    for (int64_t i = first; i < std::min(first + in.micro_batch, total); ++i) {
      rollout_in.rows.push_back({i, i, i});
      if (i < in.keep_frames) ++rollout_in.keep_frames;
    }
  rollout_in.finished = [&](MicroBatch& batch) {
    Drawn drawn;
    drawn.first = offset + batch.rows.front().slot;
    drawn.count = batch.end - batch.begin;
    drawn.rewards = std::move(batch.rewards);
    drawn.not_finite = batch.not_finite;
    drawn.frames = batch.frames_BF3HW;
    batch = {};
    store.add(std::move(drawn));
  };
  try {
    rollout(rollout_in);
  } catch (const Stopped&) {
    store.save();
    throw;
  }
}

}  // namespace

Evaluation evaluated(const EvaluationInput& in, const Velocity& velocity, int64_t index, DrawnStore& store) {
  draw_missing(in, velocity, index, store);
  Evaluation result;
  std::vector<RewardBatch> rewards;
  std::vector<at::Tensor> frames;
  for (auto& drawn : store.sorted()) {
    if (drawn.first / in.prompts.size() != index) continue;
    rewards.push_back(std::move(drawn.rewards));
    result.not_finite += drawn.not_finite;
    if (drawn.frames.defined()) frames.push_back(drawn.frames);
  }
  result.rewards = concatenate_samples(rewards);
  result.total = combined_alone(in.rewards, result.rewards);
  if (!frames.empty()) result.frames_BF3HW = at::cat(frames);
  return result;
}

}  // namespace thalweg
