#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "samplers/doob/candidates.h"
#include "samplers/flow_algebra.h"
#include "samplers/kernel.h"

namespace thalweg {
namespace {

Lookahead shared(const DoobContext& context, const at::Tensor& x, const Step& there, const Conditioning& c,
                 const at::Tensor& noise) {
  const auto t = per_sample(there.sigma_B.slice(0, 0, noise.size(0)), x);
  const auto x0 = ((x.unflatten(0, {-1, noise.size(0)}) - t * noise) / (1.0 - t)).flatten(0, 1);
  return {{}, x0, context.reward(x0, clean_step(there), c), {}};
}

Lookahead recompute(const DoobContext& context, const at::Tensor& x, const Step& there, const Conditioning& c,
                    const at::Tensor&) {
  return look_ahead(context.input.velocity, context.reward, x, there, c, WithGradient::no);
}

Lookahead noisy_latents(const DoobContext& context, const at::Tensor& x, const Step& there,
                        const Conditioning& c, const at::Tensor&) {
  return {{}, {}, context.reward(x, there, c), {}};
}

// `step` as Euler's step from one point of the schedule to another.
Step stride(const Step& step, const Schedule& schedule, int64_t from, int64_t to) {
  const double s = schedule.sigmas.at(static_cast<size_t>(from));
  const double next = schedule.sigmas.at(static_cast<size_t>(to));
  Step wide = step;
  wide.sigma_B = at::full_like(step.sigma_B, s);
  wide.next_sigma_B = at::full_like(step.sigma_B, next);
  wide.index = from;
  wide.kernel = {1.0, next - s, 0.0};
  return wide;
}

Lookahead rollout(const DoobContext& context, const at::Tensor& x, const Step& there, const Conditioning& c,
                  const at::Tensor&) {
  const auto& [velocity, schedule, conditioning, start, slots, seed] = context.input;
  const int64_t first = there.index, left = schedule.steps() - first;
  const int64_t count = std::min(context.options.rollout_steps, left);
  const auto v_first = velocity(x, there, c);  // asked as the next step will: it is that step's velocity
  auto x0 = x, v = v_first;
  for (int64_t k = 0; k < count; ++k) {
    const auto step = stride(there, schedule, first + k * left / count, first + (k + 1) * left / count);
    if (k > 0) v = velocity(x0, step, c);
    x0 = transition(x0, v, step.kernel).mean_BCFHW;
  }
  return {v_first, x0, context.reward(x0, clean_step(there), c), {}};
}

constexpr std::pair<const char*, CandidateLook> kLooks[] = {
    {"shared", shared}, {"recompute", recompute}, {"rollout", rollout}, {"noisy_latents", noisy_latents}};

}  // namespace

CandidateLook candidate_look(const std::string& lookahead) {
  for (const auto& [name, look] : kLooks)
    if (lookahead == name) return look;
  TORCH_CHECK(false, "knows no look ahead \"", lookahead, "\"");
}

const std::vector<std::string>& doob_lookaheads() {
  static const auto names = [] {
    std::vector<std::string> all;
    for (const auto& [name, look] : kLooks) all.emplace_back(name);
    return all;
  }();
  return names;
}

}  // namespace thalweg
