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

// The candidate with the highest value / alpha + Gumbel noise: a draw from the softmax.
at::Tensor drawn_candidate(const at::Tensor& value_BM, const SamplerInput& in, const Step& step,
                           double temperature) {
  const auto known_MB = at::where(value_BM.isfinite(), value_BM, -INFINITY).t();
  const int64_t candidates = known_MB.size(0);
  auto gumbel_MB = at::empty(known_MB.sizes(), known_MB.options());
  auto* gumbel = gumbel_MB.mutable_data_ptr<double>();
  for (int64_t m = 0; m < candidates; ++m)
    for (const auto slot : in.slot_B) {
      const double u =
          random_uniform(in.seed, Purpose::resampling, static_cast<uint64_t>(slot * candidates + m),
                         static_cast<uint64_t>(step.index));
      *gumbel++ = -std::log(-std::log(u));
    }
  return (known_MB / temperature + gumbel_MB).argmax(0);
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
  CandidateSource source(in, kernel, reward,
                         {.count = o.candidates, .own_first = true, .at_once = o.at_once});
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
    const auto all = source.draw(transition(x, v, step.kernel).mean_BCFHW, step, look);
    record.add_choice(candidate_ess(all.reward_BM.t(), o.temperature),
                      1.0 / static_cast<double>(o.candidates),
                      at::logical_not(all.reward_BM.isfinite()).sum(1));
    const auto next =
        picked(all, o.temperature == 0.0 ? best_candidate(all.reward_BM)
                                         : drawn_candidate(all.reward_BM, in, step, o.temperature));
    x = next.x_BCFHW;
    v = next.v_BCFHW;
  }
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  trajectory.particles = record.finished();
  return trajectory;
}

}  // namespace thalweg
