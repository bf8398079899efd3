#include "samplers/doob/candidates.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/rng.h"
#include "samplers/flow_algebra.h"
#include "samplers/tiled.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

// Rows of one call: small batches are looked ahead from together, large ones candidate by candidate.
constexpr int64_t kRows = 32;

// Of candidates [first, end) of each sample.
std::vector<int64_t> candidate_slots(const DoobContext& context, int64_t first, int64_t end) {
  std::vector<int64_t> slots;
  for (int64_t m = first; m < end; ++m)
    for (const auto slot : context.input.slot_B) slots.push_back(slot * context.options.candidates + m);
  return slots;
}

at::Tensor candidate_noise(const DoobContext& context, const at::Tensor& mean, int64_t step, int64_t draws) {
  return normal_noise(context.input.seed, Purpose::candidates, candidate_slots(context, 0, draws),
                      static_cast<uint64_t>(step), mean.sizes().slice(1), mean.scalar_type(), mean.device())
      .unflatten(0, {draws, mean.size(0)});
}

// Where candidates stand: before the next step, or at its end after the last.
Step after(const DoobContext& context, const Step& step, at::Device device) {
  const auto& in = context.input;
  if (step.index + 1 == in.schedule.steps()) return clean_step(step);
  return step_of(context.kernel, in.schedule, step.index + 1, in.slot_B, device);
}

void keep_best(BestEstimate& best, const at::Tensor& x0, const at::Tensor& reward_kB) {
  const int64_t batch = reward_kB.size(1);
  const auto [reward_B, index_B] = at::where(reward_kB.isfinite(), reward_kB, -INFINITY).max(0);
  const auto rows = index_B * batch + at::arange(batch, at::kLong);
  best.offer(x0.index_select(0, rows.to(x0.device())), reward_B);
}

at::Tensor per_row(const at::Tensor& values_B, const at::Tensor& like) {
  return per_sample(values_B.to(like.device()), like);
}

}  // namespace

void BestEstimate::offer(const at::Tensor& x0, const at::Tensor& offered_B) {
  if (!x0_BCFHW.defined()) {
    x0_BCFHW = x0;
    reward_B = offered_B;
    return;
  }
  const auto better_B = offered_B > reward_B;
  x0_BCFHW = at::where(better_B.to(x0.device()).view({-1, 1, 1, 1, 1}), x0, x0_BCFHW);
  reward_B = at::where(better_B, offered_B, reward_B);
}

Candidates draw_candidates(DoobContext& context, const at::Tensor& x, const at::Tensor& v,
                           const at::Tensor& mean, const Step& step) {
  const auto& o = context.options;
  const int64_t batch = x.size(0), draws = o.antithetic ? o.candidates / 2 : o.candidates;
  const int64_t chunk = std::clamp<int64_t>(kRows / batch, 1, draws);
  const auto there = after(context, step, x.device());
  const bool last = step.index + 1 == context.input.schedule.steps();
  const auto look = candidate_look(last ? "noisy_latents" : o.lookahead);
  CandidateOrigin origin;
  if (o.lookahead == "shared" && !last) origin.noise_BCFHW = noise_estimate(x, v, step);
  Candidates all;
  all.noise = candidate_noise(context, mean, step.index, draws);
  std::vector<at::Tensor> rewards;
  for (const double side : {1.0, -1.0})
    for (int64_t m = 0; m < draws && (side > 0.0 || o.antithetic); m += chunk) {
      const int64_t end = std::min(m + chunk, draws), mirrored = side > 0.0 ? 0 : draws;
      const auto z = all.noise.slice(0, m, end);
      origin.slots = candidate_slots(context, m + mirrored, end + mirrored);
      const auto candidates = at::add(mean.unsqueeze(0), z, side * step.kernel.std).flatten(0, 1);
      auto& conditioning = context.conditioning[z.size(0)];
      if (conditioning.prompts.empty()) conditioning = tiled(context.input.conditioning, z.size(0));
      const auto seen = look(context, candidates, tiled(there, z.size(0)), conditioning, origin);
      rewards.push_back(seen.value_B.view({z.size(0), batch}));
      if (seen.v_BCFHW.defined()) all.v.push_back(seen.v_BCFHW);
      if (o.keep_best) keep_best(context.best, last ? candidates : seen.x0_BCFHW, rewards.back());
    }
  all.reward_BM = at::cat(rewards).t();
  return all;
}

at::Tensor noise_of(const Candidates& all, const at::Tensor& index_B) {
  const int64_t draws = all.noise.size(0), batch = all.noise.size(1);
  const auto rows = index_B % draws * batch + at::arange(batch, at::kLong);
  const auto z = all.noise.flatten(0, 1).index_select(0, rows.to(all.noise.device()));
  if (draws == all.reward_BM.size(1)) return z;
  return z * per_row(at::where(index_B < draws, 1.0, -1.0), z);
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

at::Tensor noise_sum(const Candidates& all, const at::Tensor& coefficients_BM) {
  const int64_t draws = all.noise.size(0);
  auto of_draw_DB = coefficients_BM.t().slice(0, 0, draws);
  if (draws < coefficients_BM.size(1)) of_draw_DB = of_draw_DB - coefficients_BM.t().slice(0, draws);
  of_draw_DB = of_draw_DB.to(all.noise.device());
  auto sum = at::zeros_like(all.noise[0]);
  for (int64_t m = 0; m < draws; ++m) sum.addcmul_(all.noise[m], per_sample(of_draw_DB[m], sum));
  return sum;
}

}  // namespace thalweg
