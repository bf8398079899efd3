#include "pipelines/methods/matching.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/per_sample.h"
#include "engine/core/rng.h"
#include "engine/core/shuffled.h"
#include "engine/losses/distribution_matching.h"
#include "engine/losses/nft.h"

namespace thalweg {
namespace {

// The noisings of a share, one after the other.
class Noiser {
 public:
  Noiser(const Training& training, const GroupPlan& plan, const Matching& matching, int64_t pass,
         int64_t iteration, const MicroBatch& batch, const at::Tensor& used_B)
      : t_(training), batch_(batch), used_B_(used_B), first_(pass * matching.times), slots_(batch.slot_B()) {
    if (matching.of_group)
      for (size_t b = 0; b < slots_.size(); ++b) slots_[b] = iteration * plan.groups + batch.rows[b].group;
    sigmas_TB_ = on_device(matching.sigmas_TB(slots_), t_.device());
    if (matching.steps_TB)
      steps_TB_ = matching.steps_TB(slots_);
    else
      x0_ = used_rows(batch.trajectory.x0_BCFHW, used_B);
  }

  // Its velocity is not asked yet.
  Noising at(int64_t i) const {
    const auto index = first_ + i;
    const auto sigma_B = sigmas_TB_[index];
    Noising n{.batch = batch_,
              .index = i,
              .x0 = x0_,
              .x_t = {},
              .noise = {},
              .sigma_B = sigma_B,
              .step = {sigma_B, sigma_B, -1, batch_.slot_B()},
              .s_B = {},
              .k_B = {},
              .v = {}};
    if (steps_TB_.defined()) take_states(n, steps_TB_[index]);
    n.noise = normal_noise(t_.seed(), Purpose::training_noise, slots_, static_cast<uint64_t>(index),
                           n.x0.sizes().slice(1), n.x0.scalar_type(), t_.device());
    if (n.s_B.defined()) {
      const auto [al_B, be_B] = conditional_path(sigma_B, n.s_B);
      n.x_t = per_sample(al_B, n.x0) * n.x0 + per_sample(be_B, n.x0) * n.noise;
    } else {
      const auto sigma = per_sample(sigma_B, n.x0);
      n.x_t = (1.0 - sigma) * n.x0 + sigma * n.noise;
    }
    return n;
  }

 private:
  void take_states(Noising& n, const at::Tensor& k_B) const {
    const auto levels = at::tensor(batch_.trajectory.schedule.sigmas, at::kDouble);
    n.s_B = on_device(levels.index_select(0, k_B + 1), t_.device());
    n.k_B = on_device(k_B, t_.device());
    n.x0 = used_rows(rows_of_steps(batch_.trajectory.next_latents, n.k_B), used_B_);
  }

  const Training& t_;
  const MicroBatch& batch_;
  const at::Tensor used_B_;
  const int64_t first_;
  std::vector<int64_t> slots_;  // of the noise
  at::Tensor x0_, sigmas_TB_, steps_TB_;
};

Gradients train_share(const Role& role, const Share& share, const ShareHeads& heads, const Noiser& noiser,
                      const Matching& matching, int64_t count, StepRecord& record) {
  const auto trained = matching.velocity ? matching.velocity(share) : role.velocity();
  Gradients sums(static_cast<size_t>(count));
  for (int64_t i = 0; i < matching.times; ++i) {
    auto noising = noiser.at(i);
    noising.v = trained(noising.x_t, noising.step, share.batch.conditioning);
    heads.differentiate(matching.loss(noising, share), role.parameters(), sums, record, i);
  }
  return sums;
}

}  // namespace

at::Tensor Noising::target() const {
  return s_B.defined() ? conditional_velocity(x0, noise, sigma_B, s_B) : noise - x0;
}

at::Tensor Noising::answer(const Velocity& velocity) const {
  c10::NoGradGuard no_grad;
  return velocity(x_t, step, batch.conditioning);
}

Rollout draw_clean_latents(Training& t, int64_t iteration, const GroupPlan& plan, const Velocity& velocity,
                           Metrics& metrics) {
  const auto& sampler = t.options.sampler;
  const auto window = step_window(sampler, t.seed(), iteration);
  auto batches = draw_groups(t, iteration, plan, t.guided(velocity),
                             [&](const SamplerInput& in) { return draw_samples(in, sampler, window); });
  auto scores = score(t, batches, metrics);
  return {std::move(batches), std::move(scores)};
}

std::vector<at::Tensor> measure_noisings(Training& t, const GroupPlan& plan, const Matching& matching,
                                         const Update& update, int64_t iteration, int64_t numbers,
                                         const NoisingMeasure& measure, int64_t pass) {
  auto all = at::zeros({numbers, matching.times, update.used_B.size(0)}, at::kDouble);
  t.workers.for_each(static_cast<int64_t>(update.shares.size()), [&](int64_t s) {
    c10::NoGradGuard no_grad;
    PhaseClock::Scope scope(t.clock, "train");
    const auto& share = update.shares[static_cast<size_t>(s)];
    const Noiser noiser(t, plan, matching, pass, iteration, share.batch,
                        on_device(share.rows(update.used_B), t.device()));
    std::vector<at::Tensor> of_times;
    for (int64_t i = 0; i < matching.times; ++i) {
      auto values = measure(noiser.at(i));
      for (auto& value_B : values) value_B = value_B.to(at::kDouble);
      of_times.push_back(at::stack(values));
    }
    share.rows(all, 2).copy_(at::stack(of_times, 1));  // once a share: a device is waited for here
  });
  return all.unbind();
}

void train_on_clean_latents(Training& t, const std::vector<MicroBatch>& batches, const GroupPlan& plan,
                            const Advantages& advantages, Aggregator& aggregator, const Matching& matching,
                            int64_t iteration, Metrics& metrics) {
  Metrics told;
  auto& role = matching.role ? *matching.role : t.policy;
  const auto updates = matching.passes * plan.updates;
  for (int64_t u = 0; u < updates; ++u) {
    const auto pass = u / plan.updates;
    auto update = update_of(batches, plan, u % plan.updates, advantages.used_B);
    update.index = matching.updates_before + u;
    auto heads = aggregator.heads(advantages, update);
    if (matching.prepare)
      matching.prepare({update,
                        [&](int64_t numbers, const NoisingMeasure& measure) {
                          return measure_noisings(t, plan, matching, update, iteration, numbers, measure,
                                                  pass);
                        }},
                       heads, told);
    const auto count = gradients_of_heads(heads.size());
    auto [gradients, records] =
        update_gradients(t, update, count, [&](const Share& share, StepRecord& record) {
          const ShareHeads of_share(heads, update, share, matching.times, t.device());
          const Noiser noiser(t, plan, matching, pass, iteration, share.batch, of_share.used_B());
          return train_share(role, share, of_share, noiser, matching, count, record);
        });
    apply_heads(t, role, aggregator, std::move(gradients), iteration, metrics);
    add_measured(records, updates, metrics);
  }
  for (const auto& [name, value] : told) metrics.emplace_back(name, value / static_cast<double>(updates));
}

at::Tensor groups_of(const Update& update) {
  auto group_B = at::zeros({update.used_B.size(0)}, at::kLong);
  for (const auto& share : update.shares) {
    std::vector<int64_t> groups;
    for (const auto& row : share.batch.rows) groups.push_back(row.group);
    share.rows(group_B).copy_(at::tensor(groups, at::kLong));
  }
  return group_B;
}

Metrics match_groups(Training& t, int64_t iteration, const GroupPlan& plan, const Velocity& velocity,
                     Aggregator& aggregator, const Matching& matching) {
  Metrics metrics;
  const auto [batches, scores] = draw_clean_latents(t, iteration, plan, velocity, metrics);
  const auto advantages = aggregator.advantages(scores, metrics);
  train_on_clean_latents(t, batches, plan, advantages, aggregator, matching, iteration, metrics);
  return metrics;
}

std::vector<double> schedule_levels(const Training& training, double share) {
  const auto& sigmas = training.schedule.sigmas;
  return {sigmas.begin(), sigmas.begin() + LevelOptions{.last_share = share}.of(training.schedule.steps())};
}

void describe(Fields& f, LevelOptions& o) {
  f.integer({"times_per_sample", "noise levels a sample is trained at"}, o.times, 1, 1000);
  f.number({"last_share", "share of the steps after which none is trained"}, o.last_share, 1e-3, 1.0);
}

void LevelOptions::check(int64_t steps) const {
  const auto levels = of(steps);
  if (levels < 1)
    throw Error("/method/last_share", "leaves no step of /sampler/steps to train: raise either");
  if (times > levels)
    throw Error("/method/times_per_sample",
                "must be at most " + std::to_string(levels) + ", the steps that are trained");
}

at::Tensor shuffled_sigmas(const Training& training, const std::vector<double>& of, int64_t times,
                           const std::vector<int64_t>& slot_B) {
  const auto n = static_cast<int64_t>(of.size());
  auto sigmas_TB = at::empty({times, static_cast<int64_t>(slot_B.size())}, at::kDouble);
  auto out = sigmas_TB.accessor<double, 2>();
  for (size_t b = 0; b < slot_B.size(); ++b) {
    const auto order = shuffled(training.seed(), Purpose::training_sigma, slot_B[b], 0, n);
    for (int64_t t = 0; t < times; ++t)
      out[t][static_cast<int64_t>(b)] = of[static_cast<size_t>(order[static_cast<size_t>(t % n)])];
  }
  return sigmas_TB;
}

at::Tensor stratified_sigmas(const Training& training, int64_t begin, int64_t end, int64_t times,
                             const std::vector<int64_t>& slot_B) {
  const double width = static_cast<double>(end - begin) / static_cast<double>(times);
  auto sigmas_TB = at::empty({times, static_cast<int64_t>(slot_B.size())}, at::kDouble);
  auto out = sigmas_TB.accessor<double, 2>();
  for (size_t b = 0; b < slot_B.size(); ++b)
    for (int64_t t = 0; t < times; ++t) {
      const double u = random_uniform(training.seed(), Purpose::training_sigma,
                                      static_cast<uint64_t>(slot_B[b]), static_cast<uint64_t>(t));
      const auto index = begin + static_cast<int64_t>((static_cast<double>(t) + u) * width);
      out[t][static_cast<int64_t>(b)] =
          training.schedule.sigmas[static_cast<size_t>(std::min(index, end - 1))];
    }
  return sigmas_TB;
}

StepLoss weighted_error(const Noising& noising) {
  const auto l_B = velocity_kl(noising.v, noising.target());
  return {.policy_B = [l_B](const at::Tensor& weight_B) { return weight_B.to(l_B) * l_B; },
          .measures = {{"matching_loss", l_B.detach()}}};
}

void add_velocity_penalty(StepLoss& loss, const std::string& name, const Noising& noising,
                          const Velocity& reference, double weight) {
  if (weight > 0.0)
    loss.penalties.push_back({name, velocity_kl(noising.v, noising.answer(reference)), weight});
}

}  // namespace thalweg
