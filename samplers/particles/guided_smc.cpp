#include "samplers/particles/guided_smc.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <optional>

#include "samplers/particles/outlook.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

// `a` where of a sample it holds, else `b`; without a copy where it holds for all.
at::Tensor chosen(const at::Tensor& holds_B, const at::Tensor& a, const at::Tensor& b) {
  if (holds_B.all().item<bool>()) return a;  // on the CPU
  return at::where(a.dim() == 1 ? holds_B : holds_B.to(a.device()).view({-1, 1, 1, 1, 1}), a, b);
}

class GuidedSmc {
 public:
  GuidedSmc(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
            const GuidedSmcOptions& o)
      : in_(in),
        kernel_(kernel),
        reward_(reward),
        o_(o),
        outlook_(outlook_named(o.value)),
        particles_(in, o.particles),
        x_(in.x_BCFHW),
        behind_B_(at::zeros({x_.size(0)}, at::kDouble)),
        weighed_B_(at::zeros({x_.size(0)}, at::kBool)) {}

  void step(int64_t index);
  Trajectory finished();

 private:
  // Where the ODE led, and what is known there.
  struct Led {
    at::Tensor x_BCFHW, v_BCFHW, value_B;
  };
  Step step_at(int64_t index) const { return step_of(kernel_, in_.schedule, index, in_.slot_B, x_.device()); }
  void step_alone(const Step& step);
  Lookahead look(const Step& step, WithGradient with_gradient);
  Led lead(const at::Tensor& v, const Step& step);

  const SamplerInput& in_;
  const Kernel& kernel_;
  const RewardValue& reward_;
  const GuidedSmcOptions& o_;
  Outlook outlook_;
  Particles particles_;
  at::Tensor x_;
  // U / lambda that weights hold: the last that was known of a particle, which has followed the ODE since.
  // Where weighed_B_, it has also drifted, which keeps p e^U: U then begins anew from the state's own.
  at::Tensor behind_B_, weighed_B_;
  std::optional<Led> led_;  // of the last step, where it drifted
  at::Tensor reward_B_;
};

void GuidedSmc::step_alone(const Step& step) {
  const auto v = in_.velocity(x_, step, in_.conditioning);
  particles_.resample(step.index);
  x_ = next_latents(x_, v, transition_noise(in_, x_, step), step.kernel);
}

// Scores the states. One without a score goes back to where the ODE led, where its potential is known: to
// drift or not is the same to the law.
Lookahead GuidedSmc::look(const Step& step, WithGradient with_gradient) {
  auto state = outlook_.at_state(in_.velocity, reward_, x_, step, in_.conditioning, with_gradient);
  const auto scored_B = state.value_B.isfinite();
  if (led_ && !scored_B.all().item<bool>()) {
    const auto v =
        led_->v_BCFHW.defined() ? led_->v_BCFHW : in_.velocity(led_->x_BCFHW, step, in_.conditioning);
    x_ = chosen(scored_B, x_, led_->x_BCFHW);
    state.v_BCFHW = chosen(scored_B, state.v_BCFHW, v);
  }
  behind_B_ = chosen(at::logical_and(weighed_B_, scored_B), state.value_B, behind_B_);
  particles_.weigh(o_.lambda * (state.value_B - behind_B_));
  behind_B_ = chosen(scored_B, state.value_B, behind_B_);
  return state;
}

// U_t'(x - (t - t') v).
GuidedSmc::Led GuidedSmc::lead(const at::Tensor& v, const Step& step) {
  const auto x = transition(x_, v, euler(in_.schedule, step.index)).mean_BCFHW;
  const bool last = step.index + 1 == in_.schedule.steps();
  if (last) return {x, {}, final_rewards(reward_, x, step, in_.conditioning)};
  const auto there = outlook_.value(in_.velocity, reward_, x, step_at(step.index + 1), in_.conditioning);
  return {x, there.v_BCFHW, there.value_B};
}

void GuidedSmc::step(int64_t index) {
  const auto step = step_at(index);
  if (index < o_.begin) return step_alone(step);
  const bool last = index + 1 == in_.schedule.steps();
  const double shift = 0.5 * o_.lambda * step.kernel.std * step.kernel.std;
  const auto state = look(step, shift > 0.0 ? WithGradient::yes : WithGradient::no);
  const auto rows = particles_.resample(index);
  x_ = gathered(x_, rows);
  behind_B_ = gathered(behind_B_, rows);
  const auto v = gathered(state.v_BCFHW, rows);
  const auto scored_B = gathered(state.value_B, rows).isfinite();
  const auto guided = shift > 0.0 ? pushed(v, gathered(state.gradient_BCFHW, rows), shift, step.kernel) : v;
  const auto next = next_latents(x_, guided, transition_noise(in_, x_, step), step.kernel);
  led_.reset();
  if (!last && step.kernel.std == 0.0) {  // the step itself goes where the ODE leads
    weighed_B_ = at::zeros_like(weighed_B_);
    x_ = next;
    return;
  }
  led_ = lead(v, step);
  particles_.weigh(o_.lambda * (led_->value_B - behind_B_));
  const auto known_B = led_->value_B.isfinite();
  behind_B_ = chosen(known_B, led_->value_B, behind_B_);
  // Drifts where both the gradient and the change of the potential are known.
  weighed_B_ = at::logical_and(known_B, scored_B);
  x_ = chosen(weighed_B_, next, led_->x_BCFHW);
  if (!last) return;
  reward_B_ = led_->value_B;
  if (step.kernel.std == 0.0) return;
  const auto final_B = final_rewards(reward_, x_, step, in_.conditioning);
  x_ = chosen(final_B.isfinite(), x_, led_->x_BCFHW);
  reward_B_ = chosen(final_B.isfinite(), final_B, reward_B_);
}

Trajectory GuidedSmc::finished() {
  Trajectory trajectory;
  trajectory.schedule = in_.schedule;
  trajectory.x0_BCFHW = x_;
  trajectory.particles = particles_.finish(at::where(reward_B_.isfinite(), 0.0, NAN), reward_B_);
  return trajectory;
}

}  // namespace

Trajectory sample_guided_smc(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                             const GuidedSmcOptions& o) {
  const c10::NoGradGuard no_grad;
  GuidedSmc run(in, kernel, reward, o);
  for (int64_t i = 0; i < in.schedule.steps(); ++i) run.step(i);
  return run.finished();
}

}  // namespace thalweg
