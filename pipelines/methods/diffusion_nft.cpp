// DiffusionNFT (Zheng et al. 2025, arXiv 2509.16117): rollout of the old policy with the ODE, clean latents
// only -> score -> group advantages -> forward noising at sigmas of the schedule -> contrastive velocity loss
// -> optimizer -> the old policy follows.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/matching.h"
#include "pipelines/methods/method.h"
#include "pipelines/training/scores.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{16, 12, 1};
  AdvantageOptions advantages;
  int64_t times_per_sample = 4;
  double beta = 1.0, kl_beta = 1e-4;
  // Old policy <- decay * old + (1 - decay) * policy after each iteration i, decay = min(rate * (i - start),
  // maximum).
  double old_decay_rate = 0.001, old_decay_maximum = 0.5;
  int64_t old_decay_start = 0;
};

struct LossSums {
  double policy_loss = 0.0, kl_loss = 0.0, old_deviation = 0.0;

  void add_step(const std::vector<double>& row) {
    policy_loss += row[0];
    old_deviation += row[1];
    kl_loss += row[2];
  }
  void add(const LossSums& s) {
    policy_loss += s.policy_loss;
    kl_loss += s.kl_loss;
    old_deviation += s.old_deviation;
  }
};

// Sigmas [T,B], float64: each sample takes those of `of` in an order of its own, the first `times` of it; the
// same sample always the same ones.
at::Tensor shuffled_sigmas(const Training& training, const std::vector<double>& of, int64_t times,
                           const std::vector<int64_t>& slots) {
  const auto n = of.size();
  auto sigmas_TB = at::empty({times, static_cast<int64_t>(slots.size())}, at::kDouble);
  auto out = sigmas_TB.accessor<double, 2>();
  std::vector<size_t> order(n);
  std::vector<uint64_t> key(n);
  for (size_t b = 0; b < slots.size(); ++b) {
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t i = 0; i < n; ++i)
      key[i] = random_bits(training.seed(), Purpose::training_sigma, static_cast<uint64_t>(slots[b]), i);
    std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return key[i] < key[j]; });
    for (int64_t t = 0; t < times; ++t)
      out[t][static_cast<int64_t>(b)] = of[order[static_cast<size_t>(t) % n]];
  }
  return on_device(sigmas_TB, training.device());
}

class DiffusionNftRun final : public MethodRun {
 public:
  DiffusionNftRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        old_(training.roles.add("old", training.space, cloned(training.policy.parameters()))) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    // Any sampler will do: only the clean latents are kept.
    const auto& sampler = t_.options.sampler;
    const auto window = step_window(sampler, t_.seed(), iteration);
    const auto old = old_.velocity();
    const auto batches = draw_groups(t_, iteration, o_.groups, t_.guided(old), [&](const SamplerInput& in) {
      return draw_samples(in, sampler, window);
    });
    const auto advantages = advantages_of(score(t_, batches, metrics), o_.advantages, metrics);
    for (int64_t update = 0; update < o_.groups.updates; ++update) {
      const auto mine = update_of(batches, o_.groups, update, advantages.used_B);
      auto [gradients, records] =
          update_gradients(t_, mine, 1, [&](const Share& share, StepRecord& record) -> Gradients {
            return {train_micro_batch(share, advantages, mine.used, old, record)};
          });
      apply(t_, t_.policy, std::move(gradients[0]), iteration, metrics);
      report(summed<LossSums>(records), metrics);
    }
    const double decay = old_decay(iteration);
    old_.follow(t_.policy, decay);
    metrics.emplace_back("old_decay", decay);
    return metrics;
  }

 private:
  double old_decay(int64_t iteration) const {
    const double grown =
        o_.old_decay_rate * static_cast<double>(std::max<int64_t>(iteration + 1 - o_.old_decay_start, 0));
    return std::min(grown, o_.old_decay_maximum);
  }

  TensorMap train_micro_batch(const Share& share, const GroupAdvantages& advantages, double used,
                              const Velocity& old, StepRecord& record) const {
    const auto& batch = share.batch;
    const auto used_B = on_device(share.rows(advantages.used_B), t_.device());
    const auto x0 = used_rows(batch.trajectory.x0_BCFHW, used_B);
    const auto slots = batch.slot_B();
    const auto& s = t_.schedule.sigmas;
    const auto sigmas_TB = shuffled_sigmas(t_, {s.begin(), s.end() - 1}, o_.times_per_sample, slots);
    const auto r = on_device(
        nft_optimality(share.rows(advantages.values_B), o_.advantages.adv_clip_max).to(x0.scalar_type()),
        t_.device());
    const auto policy = t_.policy.velocity();
    const auto reference = o_.kl_beta > 0.0 ? t_.space.reference() : Velocity{};
    const double weight = 1.0 / (used * static_cast<double>(o_.times_per_sample));
    const auto mean = [&](const at::Tensor& value_B) {
      return at::where(used_B, value_B * weight, 0.0).sum();
    };
    TensorMap gradients;
    for (int64_t t = 0; t < o_.times_per_sample; ++t) {
      const auto sigma_B = sigmas_TB[t];
      const auto [x_t, noise, step] = noised(t_, x0, sigma_B, slots, t);
      at::Tensor v_old, v_ref;
      {
        c10::NoGradGuard no_grad;
        v_old = old(x_t, step, batch.conditioning);
        if (reference) v_ref = reference(x_t, step, batch.conditioning);
      }
      const auto v = policy(x_t, step, batch.conditioning);
      auto loss = mean(nft_loss(v, v_old, x_t, x0, sigma_B, r, o_.beta, o_.advantages.adv_clip_max));
      const auto policy_loss = loss.detach();
      auto kl_loss = at::zeros_like(policy_loss);
      if (reference) {
        const auto kl = mean(velocity_kl(v, v_ref));
        kl_loss = kl.detach();
        loss = loss + kl * o_.kl_beta;
      }
      record.add({policy_loss, mean(velocity_kl(v.detach(), v_old)), kl_loss});
      accumulate(gradients, gradients_of(loss, t_.policy.parameters()));
    }
    return gradients;
  }

  void report(const LossSums& sums, Metrics& metrics) const {
    const double n = static_cast<double>(o_.groups.updates);
    add_metric(metrics, "policy_loss", sums.policy_loss / n);
    if (o_.kl_beta > 0.0) add_metric(metrics, "kl_loss", sums.kl_loss / n);
    add_metric(metrics, "old_deviation", sums.old_deviation / n);
  }

  const Options o_;
  Training& t_;
  Role& old_;
};

class DiffusionNft final : public Cloneable<DiffusionNft, Method> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.advantages);
    f.integer({"times_per_sample", "sigmas of the schedule a sample is trained at"}, o_.times_per_sample, 1,
              1000);
    f.number({"beta", "guidance strength b of v+ and v-"}, o_.beta, 1e-3, 10.0);
    f.number({"kl_beta", "weight of the squared velocity difference to the reference"}, o_.kl_beta, 0.0, 1e3);
    f.object({"old_policy",
              "decay = min(rate (iteration - start), maximum): how slowly the rollout policy follows"},
             [&](Fields& d) {
               d.number({"rate", "growth of the decay an iteration; 0: no lag"}, o_.old_decay_rate, 0.0, 1.0);
               d.integer({"start", "iterations before it grows"}, o_.old_decay_start, 0, 1000000);
               d.number({"maximum", "largest decay"}, o_.old_decay_maximum, 0.0, 1.0);
             });
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    if (o_.times_per_sample > options.sampler.steps)
      throw Error("/method/times_per_sample",
                  "must be at most /sampler/steps, " + std::to_string(options.sampler.steps));
  }

  GroupPlan& groups() override { return o_.groups; }
  std::unique_ptr<MethodRun> start(Training& training) const override {
    return std::make_unique<DiffusionNftRun>(o_, training);
  }

 private:
  Options o_;
};

}  // namespace

std::unique_ptr<Method> make_diffusion_nft() {
  return std::make_unique<DiffusionNft>();
}

}  // namespace thalweg
