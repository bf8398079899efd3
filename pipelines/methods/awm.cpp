// AWM, Advantage Weighted Matching (Xue et al. 2025, arXiv 2509.25050): rollout with any sampler, clean
// latents only -> score -> group advantages -> forward noising -> policy gradient, whose log-probability of a
// sample is its own flow-matching loss: log p = -w(t, l), l = |v - (e - x_0)|^2 (mean over latent elements).
// Beside it the squared velocity difference to the reference, and to an average of the policy (EMA-KL).
//
// Of the authors' code it differs in one thing: each sample has noise levels of its own, not each
// micro-batch, so that the numbers do not depend on how the work is cut.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/losses/grpo.h"
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
  std::string weighting = "ghuber", log_prob_old = "policy";
  double ghuber_power = 0.25, clip_range = 1.0, kl_beta = 1e-4, ema_kl_beta = 1.0;
  int64_t times_per_sample = 6, first_step = 1;
  double last_share = 0.9;  // of the steps
  // Average <- decay * average + (1 - decay) * policy after iteration i, decay = min(rate * (i + 1),
  // maximum).
  double ema_rate = 0.001, ema_maximum = 0.3;
};

// log p up to a constant; l_B in float64, w the weighting of the paper's section 4.2.
at::Tensor log_likelihood(const Options& o, const at::Tensor& l_B, const at::Tensor& t_B) {
  constexpr double kEps = 1e-10;  // the root's slope at 0
  if (o.weighting == "uniform") return -l_B;
  if (o.weighting == "t") return -t_B * l_B;
  if (o.weighting == "t2") return -t_B.square() * l_B;
  if (o.weighting == "huber") return -t_B * ((l_B + kEps).sqrt() - std::sqrt(kEps));
  const double p = o.ghuber_power;
  return -(t_B / p) * ((l_B + kEps).pow(p) - std::pow(kEps, p));
}

// Steps [begin, end) of the schedule whose noise levels are trained.
std::pair<int64_t, int64_t> step_range(const Options& o, int64_t steps) {
  return {o.first_step, static_cast<int64_t>(o.last_share * static_cast<double>(steps))};
}

struct Sums {
  double policy_loss = 0.0, kl_loss = 0.0, ema_kl_loss = 0.0, clipped = 0.0, approx_kl = 0.0, ratio = 0.0,
         matching = 0.0;

  // A row of the record, in the order of AwmRun::train_micro_batch.
  void add_step(const std::vector<double>& row) {
    policy_loss += row[0];
    kl_loss += row[1];
    ema_kl_loss += row[2];
    clipped += row[3];
    approx_kl += 0.5 * row[4];
    ratio += row[5];
    matching += row[6];
  }
  void add(const Sums& s) {
    add_step({s.policy_loss, s.kl_loss, s.ema_kl_loss, s.clipped, 2.0 * s.approx_kl, s.ratio, s.matching});
  }
};

class AwmRun final : public MethodRun {
 public:
  AwmRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        ema_(training.roles.add("ema", training.space, cloned(training.policy.parameters()))) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto& sampler = t_.options.sampler;
    const auto window = step_window(sampler, t_.seed(), iteration);
    const auto batches =
        draw_groups(t_, iteration, o_.groups, t_.guided(t_.policy.velocity()),
                    [&](const SamplerInput& in) { return draw_samples(in, sampler, window); });
    const auto advantages = advantages_of(score(t_, batches, metrics), o_.advantages, metrics);
    const auto ema = ema_.velocity();
    for (int64_t update = 0; update < o_.groups.updates; ++update) {
      const auto mine = update_of(batches, o_.groups, update, advantages.used_B);
      auto [gradients, records] =
          update_gradients(t_, mine, 1, [&](const Share& share, StepRecord& record) -> Gradients {
            return {train_micro_batch(share, advantages, mine.used, ema, record)};
          });
      apply(t_, t_.policy, std::move(gradients[0]), iteration, metrics);
      report(summed<Sums>(records), metrics);
    }
    const double decay = std::min(o_.ema_rate * static_cast<double>(iteration + 1), o_.ema_maximum);
    ema_.follow(t_.policy, decay);
    metrics.emplace_back("ema_kl_decay", decay);
    return metrics;
  }

 private:
  TensorMap train_micro_batch(const Share& share, const GroupAdvantages& advantages, double used,
                              const Velocity& ema, StepRecord& record) const {
    const auto& batch = share.batch;
    const auto used_B = on_device(share.rows(advantages.used_B), t_.device());
    const auto x0 = used_rows(batch.trajectory.x0_BCFHW, used_B);
    const auto slots = batch.slot_B();
    const auto sigmas_TB = stratified_sigmas(slots);
    // In [-1, 1].
    const auto advantage_B =
        on_device(share.rows(advantages.values_B) / o_.advantages.adv_clip_max, t_.device());
    const auto policy = t_.policy.velocity();
    const auto reference = o_.kl_beta > 0.0 ? t_.space.reference() : Velocity{};
    const bool off_policy = o_.log_prob_old == "ema";
    const double weight = 1.0 / (used * static_cast<double>(o_.times_per_sample));
    const auto mean = [&](const at::Tensor& value_B) {
      return at::where(used_B, value_B.to(at::kDouble) * weight, 0.0).sum();
    };
    TensorMap gradients;
    for (int64_t t = 0; t < o_.times_per_sample; ++t) {
      const auto sigma_B = sigmas_TB[t];
      const auto [x_t, noise, step] = noised(t_, x0, sigma_B, slots, t);
      const auto target = noise - x0;
      at::Tensor v_ema, v_ref;
      {
        c10::NoGradGuard no_grad;
        if (off_policy || o_.ema_kl_beta > 0.0) v_ema = ema(x_t, step, batch.conditioning);
        if (reference) v_ref = reference(x_t, step, batch.conditioning);
      }
      const auto v = policy(x_t, step, batch.conditioning);
      const auto l_B = velocity_kl(v, target).to(at::kDouble);
      const auto log_prob = log_likelihood(o_, l_B, sigma_B);
      const auto old = off_policy ? log_likelihood(o_, velocity_kl(v_ema, target).to(at::kDouble), sigma_B)
                                  : log_prob.detach();
      const auto surrogate = grpo_loss(log_prob, old, advantage_B, o_.clip_range);
      auto loss = mean(surrogate.loss_B);
      const auto policy_loss = loss.detach();
      auto kl = at::zeros_like(policy_loss), ema_kl = kl;
      if (reference) loss = loss + (kl = mean(velocity_kl(v, v_ref))) * o_.kl_beta;
      if (o_.ema_kl_beta > 0.0) loss = loss + (ema_kl = mean(velocity_kl(v, v_ema))) * o_.ema_kl_beta;
      record.add({policy_loss, kl.detach(), ema_kl.detach(),
                  mean((surrogate.ratio_B - 1.0).abs() > o_.clip_range),
                  mean((log_prob.detach() - old).square()), mean(surrogate.ratio_B), mean(l_B.detach())});
      accumulate(gradients, gradients_of(loss, t_.policy.parameters()));
    }
    return gradients;
  }

  // One noise level in each of times_per_sample equal parts; [T,B].
  at::Tensor stratified_sigmas(const std::vector<int64_t>& slots) const {
    const auto [begin, end] = step_range(o_, t_.schedule.steps());
    const double width = static_cast<double>(end - begin) / static_cast<double>(o_.times_per_sample);
    auto sigmas_TB = at::empty({o_.times_per_sample, static_cast<int64_t>(slots.size())}, at::kDouble);
    auto out = sigmas_TB.accessor<double, 2>();
    for (size_t b = 0; b < slots.size(); ++b)
      for (int64_t t = 0; t < o_.times_per_sample; ++t) {
        const double u = random_uniform(t_.seed(), Purpose::training_sigma, static_cast<uint64_t>(slots[b]),
                                        static_cast<uint64_t>(t));
        const auto index = begin + static_cast<int64_t>((static_cast<double>(t) + u) * width);
        out[t][static_cast<int64_t>(b)] = t_.schedule.sigmas[static_cast<size_t>(std::min(index, end - 1))];
      }
    return on_device(sigmas_TB, t_.device());
  }

  void report(const Sums& s, Metrics& metrics) const {
    const double n = static_cast<double>(o_.groups.updates);
    add_metric(metrics, "policy_loss", s.policy_loss / n);
    if (o_.kl_beta > 0.0) add_metric(metrics, "kl_loss", s.kl_loss / n);
    if (o_.ema_kl_beta > 0.0) add_metric(metrics, "ema_kl_loss", s.ema_kl_loss / n);
    add_metric(metrics, "matching_loss", s.matching / n);
    add_metric(metrics, "ratio", s.ratio / n);
    add_metric(metrics, "approx_kl", s.approx_kl / n);
    add_metric(metrics, "clipfrac", s.clipped / n);
  }

  const Options o_;
  Training& t_;
  Role& ema_;
};

class Awm final : public Cloneable<Awm, Method> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.advantages);
    f.object({"weighting", "of the matching error l at noise level t: log p up to a constant"},
             [this](Fields& w) {
               w.variant({"name", "weighting"}, o_.weighting,
                         {{"uniform", "-l", [](Fields&) {}},
                          {"t", "-t l", [](Fields&) {}},
                          {"t2", "-t^2 l", [](Fields&) {}},
                          {"huber", "-t sqrt(l)", [](Fields&) {}},
                          {"ghuber", "-(t/p) l^p", [this](Fields& g) {
                             g.number({"power", "p"}, o_.ghuber_power, 1e-3, 1.0);
                           }}});
             });
    f.choice({"log_prob_old",
              "what the ratio compares with: the policy itself (1, so nothing is clipped), or its average"},
             o_.log_prob_old, {"policy", "ema"});
    f.number({"clip_range", "PPO clip of the ratio"}, o_.clip_range, 1e-9, 10.0);
    f.number({"kl_beta", "weight of the squared velocity difference to the reference"}, o_.kl_beta, 0.0, 1e3);
    f.number({"ema_kl_beta", "weight of the squared velocity difference to the policy's average"},
             o_.ema_kl_beta, 0.0, 1e3);
    f.object({"ema", "decay = min(rate (iteration + 1), maximum): how slowly that average follows"},
             [&](Fields& e) {
               e.number({"rate", "growth of the decay an iteration; 0: it follows at once"}, o_.ema_rate, 0.0,
                        1.0);
               e.number({"maximum", "largest decay"}, o_.ema_maximum, 0.0, 1.0);
             });
    f.integer({"times_per_sample", "noise levels a sample is trained at, one in each part of the steps"},
              o_.times_per_sample, 1, 1000);
    f.integer({"first_step", "first step of the schedule whose noise level is trained; 0: pure noise too"},
              o_.first_step, 0, 999);
    f.number({"last_share", "share of the steps after which none is trained"}, o_.last_share, 1e-3, 1.0);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    const auto [begin, end] = step_range(o_, options.sampler.steps);
    if (begin >= end)
      throw Error("/method/first_step", "leaves no step to train: it must be below " + std::to_string(end) +
                                            ", /method/last_share of /sampler/steps");
  }

  GroupPlan& groups() override { return o_.groups; }
  std::optional<double> clip_range() const override { return o_.clip_range; }
  std::unique_ptr<MethodRun> start(Training& training) const override {
    return std::make_unique<AwmRun>(o_, training);
  }

 private:
  Options o_;
};

}  // namespace

std::unique_ptr<Method> make_awm() {
  return std::make_unique<Awm>();
}

}  // namespace thalweg
