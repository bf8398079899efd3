#include "samplers/candidates/candidates.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "samplers/flow_algebra.h"
#include "samplers/tiled.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

// Rows of one call: candidates of a small batch are looked at together, those of a large one after another.
constexpr int64_t kRows = 32;

at::Tensor noise_of(const Candidates& all, const at::Tensor& index_B) {
  const int64_t draws = all.noise.size(0), batch = all.noise.size(1);
  const auto rows = index_B % draws * batch + at::arange(batch, at::kLong);
  const auto z = all.noise.flatten(0, 1).index_select(0, rows.to(all.noise.device()));
  if (draws == all.reward_BM.size(1)) return z;
  const auto side_B = at::where(index_B < draws, 1.0, -1.0);
  return z * per_sample(side_B.to(z.device()), z);
}

at::Tensor velocity_of(const Candidates& all, const at::Tensor& index_B) {
  const int64_t batch = index_B.size(0);
  const auto sample = at::arange(batch, at::kLong);
  at::Tensor v;
  int64_t first = 0;
  for (const auto& chunk : all.v) {
    const int64_t copies = chunk.size(0) / batch;
    const auto local_B = index_B - first;
    const auto rows = local_B.clamp(0, copies - 1) * batch + sample;
    const auto here = chunk.index_select(0, rows.to(chunk.device()));
    const auto inside = at::logical_and(local_B >= 0, local_B < copies).to(chunk.device());
    v = v.defined() ? at::where(inside.view({-1, 1, 1, 1, 1}), here, v) : here;
    first += copies;
  }
  return v;
}

}  // namespace

std::vector<int64_t> CandidateSource::slots(int64_t first, int64_t end) const {
  std::vector<int64_t> slots;
  for (int64_t m = first; m < end; ++m)
    for (const auto slot : in_.slot_B) slots.push_back(slot * rule_.count + m);
  return slots;
}

at::Tensor CandidateSource::noise(const at::Tensor& mean, const Step& step, int64_t draws) const {
  std::vector<at::Tensor> parts;
  if (rule_.own_first) parts.push_back(transition_noise(in_, mean, step));
  const auto others = slots(rule_.own_first ? 1 : 0, draws);
  if (!others.empty())
    parts.push_back(normal_noise(in_.seed, Purpose::candidates, others, static_cast<uint64_t>(step.index),
                                 mean.sizes().slice(1), mean.scalar_type(), mean.device()));
  const auto all = parts.size() == 1 ? parts[0] : at::cat(parts);
  return all.unflatten(0, {draws, mean.size(0)});
}

Step CandidateSource::after(const Step& step, at::Device device) const {
  if (step.index + 1 == in_.schedule.steps()) return clean_step(step);
  return step_of(kernel_, in_.schedule, step.index + 1, in_.slot_B, device);
}

Candidates CandidateSource::draw(const at::Tensor& mean, const Step& step, const CandidateLook& look) {
  const int64_t batch = mean.size(0), draws = rule_.mirrored ? rule_.count / 2 : rule_.count;
  const int64_t at_once = std::clamp<int64_t>(rule_.at_once > 0 ? rule_.at_once : kRows / batch, 1, draws);
  const auto there = after(step, mean.device());
  const bool last = step.index + 1 == in_.schedule.steps();
  Candidates all{mean, step.kernel.std, noise(mean, step, draws), {}, {}};
  std::vector<at::Tensor> rewards;
  for (const double side : {1.0, -1.0})
    for (int64_t m = 0; m < draws && (side > 0.0 || rule_.mirrored); m += at_once) {
      const int64_t end = std::min(m + at_once, draws), mirrored = side > 0.0 ? 0 : draws;
      const auto z = all.noise.slice(0, m, end);
      const auto x = at::add(mean.unsqueeze(0), z, side * all.std).flatten(0, 1);
      auto& conditioning = conditioning_[end - m];
      if (conditioning.prompts.empty()) conditioning = tiled(in_.conditioning, end - m);
      const auto copies = tiled(there, end - m);
      const auto seen = last ? Lookahead{{}, x, reward_(x, copies, conditioning), {}}
                             : look(x, copies, conditioning, slots(m + mirrored, end + mirrored));
      rewards.push_back(seen.value_B.view({end - m, batch}));
      if (seen.v_BCFHW.defined()) all.v.push_back(seen.v_BCFHW);
      if (estimates_) estimates_(seen.x0_BCFHW, rewards.back());
    }
  all.reward_BM = at::cat(rewards).t();
  return all;
}

Successor picked(const Candidates& all, const at::Tensor& index_B) {
  return {at::add(all.mean_BCFHW, noise_of(all, index_B), all.std), velocity_of(all, index_B)};
}

at::Tensor best_candidate(const at::Tensor& reward_BM) {
  return at::where(reward_BM.isfinite(), reward_BM, -INFINITY).argmax(1);
}

}  // namespace thalweg
