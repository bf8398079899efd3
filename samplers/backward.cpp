#include "samplers/backward.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "engine/optim/gradients.h"
#include "samplers/transitions.h"

namespace thalweg {

Trajectory walk(const SamplerInput& in, const Kernel& kernel, int64_t first, int64_t end) {
  Trajectory trajectory{in.schedule, {}, {}, {}, {}, {}};
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < end; ++i) {
    const auto step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    if (i >= first) {
      trajectory.trained_steps.push_back(i);
      trajectory.latents.push_back(x);
    }
    x = next_latents(x, in.velocity(x, step, in.conditioning), transition_noise(in, x, step), step.kernel);
  }
  trajectory.x0_BCFHW = x;
  return trajectory;
}

Way way_of(const Trajectory& walked, const Kernel& kernel, const std::vector<int64_t>& slot_B) {
  Way way{{}, walked.latents, walked.x0_BCFHW};
  for (const auto i : walked.trained_steps)
    way.steps.push_back(step_of(kernel, walked.schedule, i, slot_B, walked.x0_BCFHW.device()));
  return way;
}

KernelStep landing(const Schedule& schedule, int64_t index) {
  return {1.0, -schedule.sigmas.at(static_cast<size_t>(index)), 0.0};
}

BackwardStep backward_step(const Velocity& velocity, const at::Tensor& x, const Step& step,
                           const Conditioning& c, const at::Tensor& adjoint, const TensorMap& parameters) {
  TORCH_CHECK(c10::GradMode::is_enabled(), "a step backwards needs gradients enabled");
  const std::string state = "the state";  // no parameter has a space in its name
  const auto leaf = x.detach().requires_grad_();
  const auto v = velocity(leaf, step, c);
  auto wanted = parameters;
  wanted.emplace(state, leaf);
  auto gradients = gradients_of((transition(leaf, v, step.kernel).mean_BCFHW * adjoint).sum(), wanted);
  auto before = std::move(gradients.at(state));
  gradients.erase(state);
  return {std::move(before), std::move(gradients), v.detach()};
}

TensorMap way_gradients(const Velocity& velocity, const Way& way, const Conditioning& c, at::Tensor adjoint,
                        const TensorMap& parameters) {
  TensorMap sum;
  for (size_t i = way.steps.size(); i-- > 0;) {
    auto back = backward_step(velocity, way.x[i], way.steps[i], c, adjoint, parameters);
    accumulate(sum, std::move(back.gradients));
    adjoint = std::move(back.adjoint);
  }
  return sum;
}

LeanAdjoint lean_adjoint(const Velocity& base, const Way& way, const Conditioning& c,
                         const at::Tensor& a_end) {
  const auto steps = way.steps.size();
  LeanAdjoint lean{std::vector<at::Tensor>(steps + 1), std::vector<at::Tensor>(steps)};
  lean.a[steps] = a_end;
  for (size_t i = steps; i-- > 0;) {
    auto back = backward_step(base, way.x[i], way.steps[i], c, lean.a[i + 1]);
    lean.a[i] = std::move(back.adjoint);
    lean.v[i] = std::move(back.v);
  }
  return lean;
}

}  // namespace thalweg
