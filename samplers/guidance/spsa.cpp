#include "samplers/guidance/spsa.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/rng.h"
#include "samplers/flow_algebra.h"
#include "samplers/tiled.h"

namespace thalweg {
namespace {

std::vector<int64_t> probe_slots(const std::vector<int64_t>& slot_B, int64_t probe, int64_t probes) {
  std::vector<int64_t> slots;
  for (const auto slot : slot_B) slots.push_back(slot * probes + probe);
  return slots;
}

}  // namespace

at::Tensor spsa_slope(const RewardValue& reward, const at::Tensor& x0, const Step& step,
                      const Conditioning& c, const SpsaOptions& o, uint64_t seed) {
  TORCH_CHECK(o.probes > 0 && o.radius > 0.0, "there must be a probe and a radius");
  const c10::NoGradGuard no_grad;
  const auto twice = tiled(clean_step(step), 2);
  const auto both = tiled(c, 2);
  auto sum = at::zeros_like(x0);
  auto scored_B = at::zeros({x0.size(0)}, at::kDouble);
  for (int64_t probe = 0; probe < o.probes; ++probe) {
    const auto u =
        normal_noise(seed, Purpose::probe, probe_slots(step.slot_B, probe, o.probes),
                     static_cast<uint64_t>(step.index), x0.sizes().slice(1), x0.scalar_type(), x0.device());
    const auto sides =
        reward(at::cat({at::add(x0, u, o.radius), at::add(x0, u, -o.radius)}), twice, both).chunk(2);
    const auto slope_B = (sides[0] - sides[1]) / (2.0 * o.radius);
    const auto known_B = slope_B.isfinite();
    scored_B += known_B;
    sum.addcmul_(u, per_sample(at::where(known_B, slope_B, 0.0).to(x0.device()), x0));
  }
  return sum * per_sample((1.0 / scored_B.clamp_min(1.0)).to(x0.device()), x0);
}

RewardGradient spsa_gradient(RewardValue reward, SpsaOptions options, uint64_t seed) {
  return [reward = std::move(reward), options, seed](const Velocity& velocity, const at::Tensor& x,
                                                     const Step& step, const Conditioning& c) -> Lookahead {
    const auto v = velocity(x, step, c);
    const auto x0 = clean_estimate(x, v, step).detach();
    return {v, x0, {}, spsa_slope(reward, x0, step, c, options, seed)};
  };
}

Guidance spsa(RewardValue reward, TiltOptions tilt, SpsaOptions options, uint64_t seed) {
  return tilted(
      [slope = spsa_gradient(std::move(reward), options, seed)](const Velocity& velocity, const at::Tensor& x,
                                                                const Step& step, const Conditioning& c) {
        auto ahead = slope(velocity, x, step, c);
        ahead.gradient_BCFHW = ahead.gradient_BCFHW * normal_jacobian(x, below_one(step));
        return ahead;
      },
      tilt);
}

}  // namespace thalweg
