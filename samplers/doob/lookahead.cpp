#include "samplers/doob/lookahead.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "engine/core/names.h"
#include "engine/core/rng.h"
#include "samplers/flow_algebra.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

CandidateLook shared(const DoobContext& context, const at::Tensor& x, const at::Tensor& v, const Step& step) {
  return [&context, noise = noise_estimate(x, v, step)](const at::Tensor& candidates, const Step& there,
                                                        const Conditioning& c, const auto&) -> Lookahead {
    const auto t = per_sample(there.sigma_B.slice(0, 0, noise.size(0)), candidates);
    const auto x0 = ((candidates.unflatten(0, {-1, noise.size(0)}) - t * noise) / (1.0 - t)).flatten(0, 1);
    return {{}, x0, context.reward(x0, clean_step(there), c), {}};
  };
}

CandidateLook recompute(const DoobContext& context, const at::Tensor&, const at::Tensor&, const Step&) {
  return [&context](const at::Tensor& x, const Step& there, const Conditioning& c, const auto&) {
    return look_ahead(context.input.velocity, context.reward, x, there, c, WithGradient::no);
  };
}

CandidateLook noisy_latents(const DoobContext& context, const at::Tensor&, const at::Tensor&, const Step&) {
  return [&context](const at::Tensor& x, const Step& there, const Conditioning& c, const auto&) -> Lookahead {
    return {{}, {}, context.reward(x, there, c), {}};
  };
}

// `step` as the kernel's from one point of the schedule to another. Its index stays that of the schedule: a
// kernel's clamp and window go by it.
Step stride(const DoobContext& context, const Step& step, int64_t from, int64_t to) {
  const auto& sigmas = context.input.schedule.sigmas;
  Schedule wide{{sigmas.begin(), sigmas.begin() + from + 1}};
  wide.sigmas.push_back(sigmas.at(static_cast<size_t>(to)));
  if (wide.sigmas.back() > 0.0) wide.sigmas.push_back(0.0);
  Step stride = step;
  stride.sigma_B = at::full_like(step.sigma_B, sigmas.at(static_cast<size_t>(from)));
  stride.next_sigma_B = at::full_like(step.sigma_B, sigmas.at(static_cast<size_t>(to)));
  stride.index = from;
  stride.kernel = context.kernel(wide, from);
  return stride;
}

// The paper's algorithm 1: one sample of x_0 given the candidate, so that e^{r/tau} is right on average.
Lookahead rolled_out(const DoobContext& context, const at::Tensor& x, const Step& there,
                     const Conditioning& c, const std::vector<int64_t>& slots) {
  const auto& in = context.input;
  const int64_t first = there.index, steps = in.schedule.steps(), left = steps - first;
  const int64_t count = std::min(context.options.rollout_steps, left);
  const auto v_first = in.velocity(x, there, c);  // asked as the next step will: it is that step's velocity
  auto x0 = x, v = v_first;
  for (int64_t k = 0; k < count; ++k) {
    const auto step = stride(context, there, first + k * left / count, first + (k + 1) * left / count);
    if (k > 0) v = in.velocity(x0, step, c);
    const auto noise = step.kernel.std == 0.0
                           ? at::Tensor()
                           : normal_noise(in.seed, Purpose::lookahead, slots,
                                          static_cast<uint64_t>(first * steps + step.index),
                                          x.sizes().slice(1), x.scalar_type(), x.device());
    x0 = next_latents(x0, v, noise, step.kernel);
  }
  return {v_first, x0, context.reward(x0, clean_step(there), c), {}};
}

CandidateLook rollout(const DoobContext& context, const at::Tensor&, const at::Tensor&, const Step&) {
  return [&context](const at::Tensor& x, const Step& there, const Conditioning& c,
                    const std::vector<int64_t>& slots) { return rolled_out(context, x, there, c, slots); };
}

struct Row {
  const char* name;
  DoobLook look;
};
constexpr Row kLooks[] = {
    {"shared", shared}, {"recompute", recompute}, {"rollout", rollout}, {"noisy_latents", noisy_latents}};

}  // namespace

at::Tensor mean_vjp(const at::Tensor& v, const at::Tensor& x, const at::Tensor& u, const KernelStep& kernel) {
  TORCH_CHECK(v.requires_grad(), "the velocity has no gradients");
  return at::add(torch::autograd::grad({v}, {x}, {u * kernel.v_scale})[0], u, kernel.x_scale);
}

DoobLook doob_look(const std::string& lookahead) {
  for (const auto& [name, look] : kLooks)
    if (lookahead == name) return look;
  TORCH_CHECK(false, "knows no look ahead \"", lookahead, "\"");
}

const std::vector<std::string>& doob_lookaheads() {
  static const auto names = names_of(kLooks);
  return names;
}

}  // namespace thalweg
