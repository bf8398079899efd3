#include "pipelines/plan/draw_cost.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "pipelines/steering/cost.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

// Rows in calls, and rows whose graph lives.
struct Rows {
  int64_t most = 0, kept = 0, most_kept = 0;

  void see(int64_t rows) { most = std::max(most, rows); }
  void keep(int64_t rows) {
    kept += rows;
    most_kept = std::max(most_kept, kept);
  }
};

// 0 whatever x is, but part of x's graph. Its rows are kept for as long as that graph is.
at::Tensor nothing_of(const at::Tensor& x, Rows& rows) {
  const auto zeros = at::where(at::ones({}, at::kBool), at::zeros({}, x.options()), x);
  if (zeros.requires_grad()) {
    const int64_t batch = x.size(0);
    rows.keep(batch);
    const std::shared_ptr<Rows> held(&rows, [batch](Rows* r) { r->kept -= batch; });
    zeros.register_hook([held](const at::Tensor&) {});  // lives with the graph, whether called or not
  }
  return zeros;
}

Conditioning nobody(int64_t batch) {
  return {std::vector<std::string>(static_cast<size_t>(batch)), {}};
}

}  // namespace

int64_t samples_at_once(int64_t micro_batch, int64_t particles) {
  return std::max<int64_t>(1, micro_batch / particles);
}

DrawSettings ode_settings(int64_t steps, double guidance_scale, Schedule schedule) {
  SamplerSection sampler;
  sampler.steps = steps;
  sampler.guidance_scale = guidance_scale;
  return {std::move(sampler), {}, std::move(schedule), {0, steps}};
}

DrawCost draw_cost(const DrawSettings& s, int64_t samples, int64_t micro_batch) {
  const c10::NoGradGuard no_grad;
  SteeringCost cost;
  PhaseClock clock;
  Rows network, reward;
  const RewardValue value = [&](const at::Tensor& x, const Step&, const Conditioning&) {
    count_reward(x, cost);
    reward.see(std::min(x.size(0), micro_batch));
    return nothing_of(x, reward).flatten(1).sum(1).to(at::kDouble);
  };
  const auto steering = make_steering(
      s.steering, s.sampler, s.window, s.schedule, [&](RewardUse) { return value; }, 0);
  auto velocity = counted(
      [&](const at::Tensor& x, const Step&, const Conditioning&) {
        network.see(x.size(0));
        return nothing_of(x, network);
      },
      cost, clock);
  velocity = in_parts(cfg(s.sampler.guidance(), nobody(1))(std::move(velocity)), micro_batch);
  const int64_t asked = std::clamp<int64_t>(samples, 1, samples_at_once(micro_batch, steering.particles)),
                batch = asked * steering.particles;
  std::vector<int64_t> slots(static_cast<size_t>(batch));
  std::iota(slots.begin(), slots.end(), 0);
  const SamplerInput in{steering.guidance(std::move(velocity)), s.schedule, nobody(batch),
                        at::zeros({batch, 1, 1, 1, 1}),         slots,      0};
  const auto drawn = steering.sample ? steering.sample(in) : draw_samples(in, s.sampler, s.window);
  const auto each = [&](int64_t count) { return static_cast<double>(count) / static_cast<double>(asked); };
  const auto rows = [](int64_t count) { return static_cast<double>(count); };
  return {each(cost.network_evaluations),
          each(cost.network_gradients),
          each(cost.reward_calls),
          each(cost.reward_gradients),
          each(drawn.x0_BCFHW.size(0)),
          rows(asked),
          rows(network.most),
          rows(reward.most),
          rows(network.most_kept),
          rows(reward.most_kept)};
}

}  // namespace thalweg
