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

at::Tensor CandidateSource::noise(const at::Tensor& mean, const Step& step, int64_t first,
                                  int64_t end) const {
  return normal_noise(in_.seed, Purpose::candidates, slots(first, end), static_cast<uint64_t>(step.index),
                      mean.sizes().slice(1), mean.scalar_type(), mean.device());
}

int64_t CandidateSource::at_once(int64_t batch, int64_t draws) const {
  return std::clamp<int64_t>(rule_.at_once > 0 ? rule_.at_once : kRows / batch, 1, draws);
}

Lookahead CandidateSource::looked_at(const at::Tensor& x, const Step& step, const CandidateLook& look,
                                     int64_t first, int64_t copies) {
  auto& conditioning = conditioning_[copies];
  if (conditioning.prompts.empty()) conditioning = tiled(in_.conditioning, copies);
  if (step.index + 1 == in_.schedule.steps())
    return {{}, x, reward_(x, tiled(finished_step(step), copies), conditioning), {}};
  const auto there = step_of(kernel_, in_.schedule, step.index + 1, in_.slot_B, x.device());
  return look(x, tiled(there, copies), conditioning, slots(first, first + copies));
}

Candidates CandidateSource::draw(const at::Tensor& mean, const Step& step, const CandidateLook& look) {
  const int64_t batch = mean.size(0), draws = rule_.mirrored ? rule_.count / 2 : rule_.count,
                most = at_once(batch, draws);
  Candidates all{mean, step.kernel.std, noise(mean, step, 0, draws).unflatten(0, {draws, batch}), {}, {}};
  std::vector<at::Tensor> rewards;
  for (const double side : {1.0, -1.0})
    for (int64_t m = 0; m < draws && (side > 0.0 || rule_.mirrored); m += most) {
      const int64_t end = std::min(m + most, draws);
      const auto x = at::add(mean.unsqueeze(0), all.noise.slice(0, m, end), side * all.std).flatten(0, 1);
      const auto seen = looked_at(x, step, look, side > 0.0 ? m : m + draws, end - m);
      rewards.push_back(seen.value_B.view({end - m, batch}));
      if (seen.v_BCFHW.defined()) all.v.push_back(seen.v_BCFHW);
      if (estimates_) estimates_(seen.x0_BCFHW, rewards.back());
    }
  all.reward_BM = at::cat(rewards).t();
  return all;
}

Leader CandidateSource::lead(const at::Tensor& mean, const Step& step, const CandidateLook& look,
                             const Keys& keys) {
  const int64_t batch = mean.size(0), most = at_once(batch, rule_.count);
  const auto sample = at::arange(batch, at::kLong);
  Leader leader;
  at::Tensor leading_B;
  std::vector<at::Tensor> rewards;
  for (int64_t m = 0; m < rule_.count; m += most) {
    const int64_t end = std::min(m + most, rule_.count);
    std::vector<at::Tensor> noises;
    if (m == 0) noises.push_back(transition_noise(in_, mean, step));
    if (end > 1) noises.push_back(noise(mean, step, std::max<int64_t>(m, 1), end));
    const auto z = noises.size() == 1 ? noises[0] : at::cat(noises);
    const auto x =
        at::add(mean.unsqueeze(0), z.unflatten(0, {end - m, batch}), step.kernel.std).flatten(0, 1);
    const auto seen = looked_at(x, step, look, m, end - m);
    rewards.push_back(seen.value_B.view({end - m, batch}));
    const auto keys_kB = keys(rewards.back(), m);
    const auto best_B = keys_kB.argmax(0);
    const auto key_B = keys_kB.gather(0, best_B.unsqueeze(0)).squeeze(0);
    const auto rows = (best_B * batch + sample).to(x.device());
    const auto best_x = x.index_select(0, rows);
    const auto best_v = seen.v_BCFHW.defined() ? seen.v_BCFHW.index_select(0, rows) : at::Tensor();
    if (m == 0) {
      leader = {best_x, best_v, {}};
      leading_B = key_B;
      continue;
    }
    const auto better = (key_B > leading_B).to(x.device()).view({-1, 1, 1, 1, 1});
    leader.x_BCFHW = at::where(better, best_x, leader.x_BCFHW);
    if (best_v.defined()) leader.v_BCFHW = at::where(better, best_v, leader.v_BCFHW);
    leading_B = at::maximum(key_B, leading_B);
  }
  leader.reward_BM = at::cat(rewards).t();
  return leader;
}

Successor picked(const Candidates& all, const at::Tensor& index_B) {
  return {at::add(all.mean_BCFHW, noise_of(all, index_B), all.std), velocity_of(all, index_B)};
}

at::Tensor best_candidate(const at::Tensor& reward_BM) {
  return at::where(reward_BM.isfinite(), reward_BM, -INFINITY).argmax(1);
}

}  // namespace thalweg
