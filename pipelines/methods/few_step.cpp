#include "pipelines/methods/few_step.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/noise_levels.h"
#include "engine/core/rng.h"
#include "engine/losses/distribution_matching.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/noise_levels.h"
#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

// Each step in so many equal ones.
Schedule divided(const Schedule& schedule, int64_t parts) {
  Schedule fine;
  for (int64_t k = 0; k < schedule.steps(); ++k) {
    const double t = schedule.sigmas[static_cast<size_t>(k)], s = schedule.sigmas[static_cast<size_t>(k) + 1];
    for (int64_t j = 0; j < parts; ++j)
      fine.sigmas.push_back(t + (s - t) * static_cast<double>(j) / static_cast<double>(parts));
  }
  fine.sigmas.push_back(schedule.sigmas.back());
  return fine;
}

Trajectory walk(const SamplerInput& in, int64_t parts) {
  const auto fine = divided(in.schedule, parts);
  Trajectory trajectory{in.schedule, {}, {}, {}, {}, {}};
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < fine.steps(); ++i) {
    if (i % parts == 0) {
      trajectory.trained_steps.push_back(i / parts);
      trajectory.latents.push_back(x);
    }
    const auto step = step_at(fine, i, in.slot_B, x.device());
    x = transition(x, in.velocity(x, step, in.conditioning), step.kernel).mean_BCFHW;
    if ((i + 1) % parts == 0) trajectory.next_latents.push_back(x);
  }
  trajectory.x0_BCFHW = x;
  return trajectory;
}

WalkedStep walked_step(const MicroBatch& batch, int64_t k, const at::Tensor& used_B) {
  const auto& trajectory = batch.trajectory;
  const auto i = static_cast<size_t>(k);
  const auto& sigmas = trajectory.schedule.sigmas;
  return {.batch = batch,
          .k = k,
          .step = step_at(trajectory.schedule, k, batch.slot_B(), trajectory.latents[i].device()),
          .t = sigmas[i],
          .s = sigmas[i + 1],
          .x = used_rows(trajectory.latents[i], used_B),
          .next = used_rows(trajectory.next_latents[i], used_B)};
}

// Before the shift.
struct Range {
  double low, high;
};

Range range_of(const TauOptions& o, double t, double s) {
  const double high = o.range == "separate" ? std::min(t, o.maximum) : o.maximum;
  return {shifted(s, 1.0 / o.shift) + o.margin, shifted(high, 1.0 / o.shift)};
}

}  // namespace

std::vector<MicroBatch> draw_trajectories(Training& t, int64_t iteration, const GroupPlan& plan,
                                          const Velocity& velocity, int64_t parts) {
  return draw_unscored_groups(t, iteration, plan, velocity,
                              [parts](const SamplerInput& in) { return walk(in, parts); });
}

at::Tensor finite(const std::vector<MicroBatch>& batches) {
  std::vector<at::Tensor> of_batches;
  for (const auto& batch : batches) {
    auto finite_B = batch.trajectory.x0_BCFHW.isfinite().flatten(1).all(1);
    for (const auto& x : batch.trajectory.latents)
      finite_B = at::logical_and(finite_B, x.isfinite().flatten(1).all(1));
    of_batches.push_back(finite_B.cpu());
  }
  return at::cat(of_batches);
}

void describe(Fields& f, TauOptions& o) {
  f.choice(
      {"range",
       "levels that a step's state is noised again to: from its own up to /method/tau/maximum (reverse), "
       "or up to that of the step before (separate)"},
      o.range, {"reverse", "separate"});
  f.number({"margin", "least distance from the state's own level, before the shift"}, o.margin, 1e-4, 0.5);
  f.number({"maximum", "highest level"}, o.maximum, 0.01, 1.0);
  f.number({"shift", "levels are uniform before this shift of the schedule; 1: none"}, o.shift, 0.01, 100.0);
}

void check_tau(const TauOptions& o, const Schedule& schedule) {
  require_last_step(schedule, o.margin);
  for (int64_t k = 0; k < schedule.steps(); ++k) {
    const double t = schedule.sigmas[static_cast<size_t>(k)], s = schedule.sigmas[static_cast<size_t>(k) + 1];
    if (const auto [low, high] = range_of(o, t, s); !(low < high))
      throw Error("/method/tau/margin", "leaves no level for step " + std::to_string(k) + ", which ends at " +
                                            std::to_string(s) + ": lower it, or raise /method/tau/maximum");
  }
}

Renoised renoised(const Training& t, const WalkedStep& walked, const TauOptions& o, int64_t draw) {
  const auto slots = walked.batch.slot_B();
  const auto index = static_cast<uint64_t>(draw * t.schedule.steps() + walked.k);
  const auto [low, high] = range_of(o, walked.t, walked.s);
  auto tau_B = at::empty({static_cast<int64_t>(slots.size())}, at::kDouble);
  for (size_t b = 0; b < slots.size(); ++b) {
    const double u =
        random_uniform(t.seed(), Purpose::training_sigma, static_cast<uint64_t>(slots[b]), index);
    tau_B[static_cast<int64_t>(b)] = shifted(low + (high - low) * u, o.shift);
  }
  tau_B = on_device(tau_B, t.device());
  const auto& x = walked.next;
  const auto noise = normal_noise(t.seed(), Purpose::training_noise, slots, index, x.sizes().slice(1),
                                  x.scalar_type(), t.device());
  const auto [al_B, be_B] = conditional_path(tau_B, walked.s);
  return {.x_tau = per_sample(al_B, x) * x + per_sample(be_B, x) * noise,
          .noise = noise,
          .step = {tau_B, tau_B, -1, slots}};
}

void train_on_walked(Training& t, Role& role, const Update& update, const std::string& name,
                     const std::function<StateLoss(const WalkedStep&)>& loss, double rate,
                     int64_t of_iteration, Metrics& metrics) {
  const auto steps = t.schedule.steps();
  auto [gradients, records] = update_gradients(t, update, 1, [&](const Share& share, StepRecord& record) {
    const ShareHeads of_share({}, update, share, steps, t.device());
    Gradients sums(1);
    for (int64_t k = 0; k < steps; ++k) {
      const auto [loss_B, measures] = loss(walked_step(share.batch, k, of_share.used_B()));
      const auto value = of_share.mean(loss_B);
      std::vector<Measured> measured = {{name, value.detach()}};
      for (const auto& measure : measures)
        measured.push_back({measure.name, of_share.mean(measure.value_B.detach())});
      record.add(measured);
      accumulate(sums[0], gradients_of(value, role.parameters()));
    }
    return sums;
  });
  apply_at(t, role, std::move(gradients[0]), rate, metrics);
  add_measured(records, of_iteration, metrics);
}

}  // namespace thalweg
