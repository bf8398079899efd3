#include "pipelines/steering/cost.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pipelines/stages/backward_phase.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/steering/lost_gradients.h"

namespace thalweg {
namespace {

bool none_led(const SteeringCost& cost) {
  return cost.reward_gradients > 0 && cost.failed_gradients >= cost.reward_gradients;
}

}  // namespace

void SteeringCost::add(const SteeringCost& other) {
  for (const auto& [name, count] : kSteeringCounts) this->*count += other.*count;
  add_failures(failures, other.failures);
}

Json SteeringCost::counts() const {
  Json json = Json::object();
  for (const auto& [name, count] : kSteeringCounts) json[name] = this->*count;
  return json;
}

std::optional<Event> steering_failures(const SteeringCost& cost) {
  if (cost.failures.empty()) return std::nullopt;
  int64_t masked = 0;  // values and gradients
  for (const auto& failure : cost.failures) masked += failure.samples;
  auto line = "steering: " + std::to_string(masked) + " of " + std::to_string(cost.reward_calls) +
              " values were not scored and are masked, or left no gradient";
  if (cost.failed_gradients > 0 && cost.reward_gradients > 0)
    line += "; " + std::to_string(cost.failed_gradients) + " of " + std::to_string(cost.reward_gradients) +
            " gradients could not be used and pull nowhere";
  return Event{none_led(cost) ? "error" : "warn",
               "reward_failed",
               line + failure_reasons(cost.failures),
               {{"phase", "steering"},
                {"masked", masked},
                {"samples", cost.reward_calls},
                {"gradients", cost.reward_gradients},
                {"failed_gradients", cost.failed_gradients},
                {"failures", failures_json(cost.failures)}}};
}

void count_reward(const at::Tensor& x_BCFHW, SteeringCost& cost) {
  cost.reward_calls += x_BCFHW.size(0);
  if (x_BCFHW.requires_grad()) cost.reward_gradients += x_BCFHW.size(0);
}

void count_scored(const at::Tensor& values_B, SteeringCost& cost) {
  const auto values = values_B.detach().to(at::kCPU);
  cost.rewards_not_scored += values.numel() - values.isfinite().sum().item<int64_t>();
}

std::string came_to_nothing(const SteeringCost& cost) {
  const auto line = [&](int64_t asked, const char* what) {
    return "not one of the " + std::to_string(asked) + what +
           ": these are samples of the model, not steered" + failure_reasons(cost.failures);
  };
  if (cost.reward_calls > 0 && cost.rewards_not_scored >= cost.reward_calls)
    return line(cost.reward_calls, " values that it asked for was scored");
  if (none_led(cost)) return line(cost.reward_gradients, " gradients that it asked for could be used");
  return "";
}

Velocity counted(Velocity velocity, SteeringCost& cost, PhaseClock& clock) {
  return [velocity = std::move(velocity), &cost, &clock](const at::Tensor& x_BCFHW, const Step& step,
                                                         const Conditioning& c) {
    cost.network_evaluations += x_BCFHW.size(0);
    if (x_BCFHW.requires_grad()) cost.network_gradients += x_BCFHW.size(0);
    return with_backward_phase(clock, "gradient", x_BCFHW, [&](const at::Tensor& x) {
      PhaseClock::Scope scope(clock, "network");
      return velocity(x, step, c);
    });
  };
}

Velocity watched(Velocity velocity, SteeringCost& cost, StepScores* scores) {
  return [velocity = std::move(velocity), &cost, scores](const at::Tensor& x_BCFHW, const Step& step,
                                                         const Conditioning& c) {
    const auto lost = [&cost, scores, step](const at::Tensor& lost_B) {
      const auto samples = lost_B.sum().item<int64_t>();
      if (scores) scores->lose(step, 0, lost_B);
      cost.failed_gradients += samples;
      add_failures(cost.failures, {{"model", "the gradient through the network is not finite", samples, 1}});
    };
    return watching_gradients(
        x_BCFHW, [&](const at::Tensor& x) { return velocity(x, step, c); }, lost);
  };
}

Velocity in_parts(Velocity velocity, int64_t rows) {
  return [velocity = std::move(velocity), rows](const at::Tensor& x_BCFHW, const Step& step,
                                                const Conditioning& c) {
    const int64_t batch = x_BCFHW.size(0);
    if (batch <= rows) return velocity(x_BCFHW, step, c);
    std::vector<at::Tensor> parts;
    for (int64_t begin = 0; begin < batch; begin += rows) {
      const int64_t end = std::min(begin + rows, batch);
      Step part = step;
      part.sigma_B = step.sigma_B.slice(0, begin, end);
      part.next_sigma_B = step.next_sigma_B.slice(0, begin, end);
      part.slot_B.assign(step.slot_B.begin() + begin, step.slot_B.begin() + end);
      parts.push_back(velocity(x_BCFHW.slice(0, begin, end), part, c.slice(begin, end)));
    }
    return at::cat(parts);
  };
}

}  // namespace thalweg
