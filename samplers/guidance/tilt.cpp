#include "samplers/guidance/tilt.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "samplers/flow_algebra.h"
#include "samplers/window.h"

namespace thalweg {

TiltOptions below_level(TiltOptions o, const Schedule& schedule, double max_sigma) {
  const auto& sigmas = schedule.sigmas;
  const auto first = std::find_if(sigmas.begin(), sigmas.end(), [&](double s) { return s <= max_sigma; });
  const auto begin = std::max(o.window_begin, static_cast<int64_t>(first - sigmas.begin()));
  const int64_t end = StepWindow::of(o.window_begin, o.window_size).end;
  if (begin >= std::min(end, schedule.steps())) o.lambda = 0.0;
  if (o.window_size != 0) o.window_size = end - begin;
  o.window_begin = begin;
  return o;
}

Guidance tilted(RewardGradient gradient, TiltOptions o) {
  return [gradient = std::move(gradient), o](Velocity velocity) -> Velocity {
    if (o.lambda == 0.0) return velocity;
    return [velocity = std::move(velocity), gradient, o](const at::Tensor& x, const Step& step,
                                                         const Conditioning& c) {
      if (!StepWindow::of(o.window_begin, o.window_size).contains(step.index)) return velocity(x, step, c);
      const auto ahead = gradient(velocity, x, step, c);
      return guided(ahead.v_BCFHW, ahead.gradient_BCFHW * o.lambda, below_one(step));
    };
  };
}

}  // namespace thalweg
