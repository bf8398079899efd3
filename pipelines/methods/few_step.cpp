#include "pipelines/methods/few_step.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/core/shuffled.h"
#include "engine/losses/distribution_matching.h"
#include "engine/optim/gradients.h"
#include "samplers/backward.h"
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

// Of `n` steps in an order of the sample's own, the first `states`: [states][B].
std::vector<std::vector<int64_t>> drawn_steps(const Training& t, const std::vector<int64_t>& slots, int64_t n,
                                              int64_t states, int64_t draw) {
  std::vector<std::vector<int64_t>> k_JB(static_cast<size_t>(states), std::vector<int64_t>(slots.size()));
  for (size_t b = 0; b < slots.size(); ++b) {
    std::vector<int64_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), int64_t{0});
    if (states < n) order = shuffled(t.seed(), Purpose::walked_steps, slots[b], draw * n, n);
    for (size_t j = 0; j < k_JB.size(); ++j) k_JB[j][b] = order[j];
  }
  return k_JB;
}

bool same(const std::vector<int64_t>& k_B) {
  return std::all_of(k_B.begin(), k_B.end(), [&](int64_t k) { return k == k_B.front(); });
}

// Of each sample the state of its own step.
at::Tensor states_of(const std::vector<at::Tensor>& of_steps, const std::vector<int64_t>& k_B,
                     const at::Tensor& used_B) {
  if (same(k_B)) return used_rows(of_steps[static_cast<size_t>(k_B.front())], used_B);
  return used_rows(rows_of_steps(of_steps, at::tensor(k_B, at::kLong)), used_B);
}

WalkedStep walked_step(const Share& share, int64_t index, const std::vector<int64_t>& k_B,
                       const at::Tensor& used_B) {
  const auto& batch = share.batch;
  const auto& [schedule, x0, steps, latents, next_latents, log_probs, particles] = batch.trajectory;
  std::vector<double> t, s;
  for (const auto k : k_B) {
    t.push_back(schedule.sigmas[static_cast<size_t>(k)]);
    s.push_back(schedule.sigmas[static_cast<size_t>(k) + 1]);
  }
  const auto levels = [&](const std::vector<double>& of_B) {
    return on_device(at::tensor(of_B, at::kDouble), used_B.device());
  };
  return {.batch = batch,
          .index = index,
          .k_B = k_B,
          .step = {levels(t), levels(s), same(k_B) ? k_B.front() : -1, batch.slot_B()},
          .x = states_of(latents, k_B, used_B),
          .next = states_of(next_latents, k_B, used_B),
          .last = used_rows(x0, used_B),
          .begin = share.begin};
}

// Whether all states of each sample are finite, bool [B] on the CPU.
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

// Of the elements of all samples that count.
double clean_deviation(const std::vector<MicroBatch>& batches, const at::Tensor& used_B) {
  auto sums = at::zeros({2}, at::kDouble);
  int64_t begin = 0, elements = 0;
  for (const auto& batch : batches) {
    const auto& x0 = batch.trajectory.x0_BCFHW;
    const auto used = used_B.slice(0, begin, begin + x0.size(0));
    const auto x = used_rows(x0, on_device(used, x0.device())).to(at::kDouble);
    sums += at::stack({x.sum(), x.square().sum()}).cpu();
    elements += used.sum().item<int64_t>() * x0[0].numel();
    begin += x0.size(0);
  }
  if (elements < 2) return 0.0;
  const double n = static_cast<double>(elements), sum = sums[0].item<double>();
  return std::sqrt(std::max(0.0, (sums[1].item<double>() - sum * sum / n) / (n - 1.0)));
}

}  // namespace

void check_walks(const TrainingOptions& options, const GroupPlan& plan) {
  check_groups(plan);
  const auto& sampler = options.sampler;
  if (sampler.kind.name() != "flow_ode")
    throw Error("/sampler/name", "must be \"flow_ode\": the steps of a few-step generator draw no noise");
  if (sampler.guidance().scale > 1.0)
    throw Error("/sampler/guidance_scale",
                "must be 1: a few-step generator learns the teacher's guidance, /method/guidance_scale");
}

Trajectory walk(const SamplerInput& in, int64_t parts) {
  SamplerInput fine = in;
  fine.schedule = divided(in.schedule, parts);
  const auto walked = walk(fine, euler, 0, fine.schedule.steps());
  Trajectory trajectory{in.schedule, walked.x0_BCFHW, {}, {}, {}, {}};
  for (int64_t k = 0; k < in.schedule.steps(); ++k) {
    trajectory.trained_steps.push_back(k);
    trajectory.latents.push_back(walked.latents[static_cast<size_t>(k * parts)]);
    if (k > 0) trajectory.next_latents.push_back(trajectory.latents.back());
  }
  trajectory.next_latents.push_back(trajectory.x0_BCFHW);
  return trajectory;
}

Walks::Walks(std::vector<MicroBatch> batches, const GroupPlan& plan, Metrics& metrics)
    : batches_(std::move(batches)), plan_(plan), used_B_(finite(batches_)) {
  metrics.emplace_back("clean_deviation", clean_deviation(batches_, used_B_));
}

Update Walks::update(int64_t i, const at::Tensor& also_B) {
  const auto used_B = also_B.defined() ? at::logical_and(used_B_, also_B) : used_B_;
  auto update = update_of(batches_, plan_, i, used_B);
  update.index = steps_++;
  return update;
}

at::Tensor Renoised::velocity(const Velocity& of) const {
  c10::NoGradGuard no_grad;
  return of(x_tau, step, conditioning);
}

at::Tensor Renoised::clean(const Velocity& of) const {
  return clean_estimate(x_tau, velocity(of), step);
}

Renoised renoised(const Training& t, const WalkedStep& walked, const TauOptions& o, int64_t draw) {
  const auto& slots = walked.step.slot_B;
  const auto index = static_cast<uint64_t>(draw * t.schedule.steps() + walked.index);
  const auto tau_B = on_device(drawn_tau(t, o, slots, walked.k_B, index), t.device());
  const auto& x = walked.next;
  const auto noise = normal_noise(t.seed(), Purpose::training_noise, slots, index, x.sizes().slice(1),
                                  x.scalar_type(), t.device());
  const auto [al_B, be_B] = conditional_path(tau_B, walked.step.next_sigma_B);
  return {.x_tau = per_sample(al_B, x) * x + per_sample(be_B, x) * noise,
          .noise = noise,
          .step = {tau_B, tau_B, -1, slots},
          .conditioning = walked.batch.conditioning};
}

namespace {

// Of both roles, so that one backward pass serves them.
TensorMap learnt_by(const Role& role, const Role* also) {
  auto all = role.parameters();
  if (also)
    for (const auto& [name, tensor] : also->parameters()) all[also->name() + "/" + name] = tensor;
  return all;
}

// What belongs to the other role, taken out.
TensorMap taken(TensorMap& gradients, const Role& also) {
  TensorMap its;
  for (const auto& [name, tensor] : also.parameters())
    if (auto found = gradients.extract(also.name() + "/" + name)) its[name] = found.mapped();
  return its;
}

}  // namespace

void train_on_walked(Training& t, Role& role, const Update& update, const WalkedLoss& loss, double rate,
                     int64_t of_iteration, Metrics& metrics) {
  const auto steps = t.schedule.steps(), states = loss.states > 0 ? std::min(loss.states, steps) : steps;
  const auto learnt = learnt_by(role, loss.also);
  auto [gradients, records] = update_gradients(t, update, 1, [&](const Share& share, StepRecord& record) {
    const ShareHeads of_share({}, update, share, states, t.device());
    const auto k_JB = drawn_steps(t, share.batch.slot_B(), steps, states, loss.draw);
    Gradients sums(1);
    const auto& weights = loss.weight_B;
    const auto weight_B = weights.defined() ? on_device(share.rows(weights), t.device()) : at::Tensor{};
    for (int64_t j = 0; j < states; ++j) {
      const auto [loss_B, measures] =
          loss.of(walked_step(share, j, k_JB[static_cast<size_t>(j)], of_share.used_B()));
      const auto value = of_share.mean(weights.defined() ? weight_B * loss_B : loss_B);
      std::vector<Measured> measured = {{loss.name, value.detach()}};
      for (const auto& measure : measures)
        measured.push_back({measure.name, of_share.mean(measure.value_B.detach())});
      record.add(measured);
      accumulate(sums[0], gradients_of(value, learnt));
    }
    return sums;
  });
  if (loss.also) apply_at(t, *loss.also, taken(gradients[0], *loss.also), loss.also_rate, metrics);
  apply_at(t, role, std::move(gradients[0]), rate, metrics);
  add_measured(records, of_iteration, metrics);
}

}  // namespace thalweg
