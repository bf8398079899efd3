#include "samplers/particles/svdd.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "engine/core/rng.h"
#include "samplers/candidates/candidates.h"
#include "samplers/candidates/record.h"
#include "samplers/particles/outlook.h"
#include "samplers/particles/weights.h"
#include "samplers/transitions.h"
#include "samplers/window.h"

namespace thalweg {
namespace {

// Values / alpha + Gumbel noise: the highest is a draw from the softmax. Of candidates `first` and on.
at::Tensor drawn_keys(const at::Tensor& value_kB, int64_t first, const SamplerInput& in, const Step& step,
                      const SvddOptions& o) {
  const auto known = at::where(value_kB.isfinite(), value_kB, -INFINITY);
  if (o.temperature == 0.0) return known;
  auto gumbel_kB = at::empty_like(known);
  auto* gumbel = gumbel_kB.mutable_data_ptr<double>();
  for (int64_t m = first; m < first + value_kB.size(0); ++m)
    for (const auto slot : in.slot_B) {
      const double u =
          random_uniform(in.seed, Purpose::resampling, static_cast<uint64_t>(slot * o.candidates + m),
                         static_cast<uint64_t>(step.index));
      *gumbel++ = -std::log(-std::log(u));
    }
  return known / o.temperature + gumbel_kB;
}

// Of the softmax over the candidates that are scored; M where none is.
at::Tensor candidate_ess(const at::Tensor& values_MB, double temperature) {
  const auto known = at::where(values_MB.isfinite(), values_MB, -INFINITY);
  const auto highest = known.amax(0, true);
  const auto log_weights = temperature > 0.0 ? known / temperature
                                             : at::zeros_like(known).masked_fill(known != highest, -INFINITY);
  return effective_sample_size(at::where(highest.isfinite(), log_weights, 0.0).t());
}

}  // namespace

Trajectory sample_svdd(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                       const SvddOptions& o) {
  const c10::NoGradGuard no_grad;
  TORCH_CHECK(o.candidates > 0, "there must be a candidate");
  const auto outlook = outlook_named(o.value);
  const CandidateLook look = [&](const at::Tensor& x, const Step& there, const Conditioning& c, const auto&) {
    return outlook.value(in.velocity, reward, x, there, c);
  };
  CandidateSource source(in, kernel, reward, {.count = o.candidates, .at_once = o.at_once});
  const auto window = StepWindow::of(o.window_begin, o.window_size);
  CandidateRecord record;
  auto x = in.x_BCFHW;
  at::Tensor v;  // at x, where a choice has left it
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    if (!v.defined()) v = in.velocity(x, step, in.conditioning);
    const bool chooses = o.candidates > 1 && step.kernel.std > 0.0 && window.contains(i);
    if (!chooses) {
      x = next_latents(x, v, transition_noise(in, x, step), step.kernel);
      v.reset();
      record.add_own_step(x.size(0));
      continue;
    }
    const auto leader = source.lead(
        transition(x, v, step.kernel).mean_BCFHW, step, look,
        [&](const at::Tensor& value_kB, int64_t first) { return drawn_keys(value_kB, first, in, step, o); });
    record.add_choice(candidate_ess(leader.reward_BM.t(), o.temperature),
                      1.0 / static_cast<double>(o.candidates),
                      at::logical_not(leader.reward_BM.isfinite()).sum(1));
    x = leader.x_BCFHW;
    v = leader.v_BCFHW;
  }
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  trajectory.particles = record.finished();
  return trajectory;
}

}  // namespace thalweg
