// AWM, Advantage Weighted Matching (Xue et al. 2025, arXiv 2509.25050): rollout with any sampler, clean
// latents only -> score -> group advantages -> forward noising -> policy gradient, whose log-probability of a
// sample is its own flow-matching loss: log p = -w(t, l), l = |v - (e - x_0)|^2 (mean over latent elements).
// Beside it the squared velocity difference to the reference, and to an average of the policy (EMA-KL).
//
// Of the authors' code it differs in one thing: each sample has noise levels of its own, not each
// micro-batch, so that the numbers do not depend on how the work is cut.
#include <ATen/ATen.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/losses/grpo.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/lag.h"
#include "pipelines/methods/matching_method.h"

namespace thalweg {
namespace {

struct Options : MatchingOptions {
  std::string weighting = "ghuber", log_prob_old = "policy";
  double ghuber_power = 0.25, clip_range = 1.0, kl_beta = 1e-4, ema_kl_beta = 1.0;
  int64_t times_per_sample = 6, first_step = 1;
  double last_share = 0.9;  // of the steps
  Lag lag{.maximum = 0.3};  // of the average, by iterations
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

class AwmRun final : public MethodRun {
 public:
  AwmRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        ema_(training.roles.add("ema", training.space, cloned(training.policy.parameters()))),
        aggregator_(options.advantages.start(training)) {}

  Metrics iterate(int64_t iteration) override {
    auto metrics =
        match_groups(t_, iteration, o_.groups, t_.policy.velocity(), *aggregator_, matching(ema_.velocity()));
    const double decay = o_.lag.at(iteration + 1);
    ema_.follow(t_.policy, decay);
    metrics.emplace_back("ema_kl_decay", decay);
    return metrics;
  }

  void state(RunState& state) override { aggregator_->state(state); }

 private:
  Matching matching(const Velocity& ema) const {
    const auto reference = o_.kl_beta > 0.0 ? t_.space.reference() : Velocity{};
    return {.times = o_.times_per_sample,
            .sigmas_TB =
                [this](const auto& slot_B) {
                  const auto [begin, end] = step_range(o_, t_.schedule.steps());
                  return stratified_sigmas(t_, begin, end, o_.times_per_sample, slot_B);
                },
            .loss = [this, ema, reference](const Noising& n,
                                           const Share&) { return loss_of(n, ema, reference); }};
  }

  StepLoss loss_of(const Noising& n, const Velocity& ema, const Velocity& reference) const {
    const bool off_policy = o_.log_prob_old == "ema";
    const auto l_B = velocity_kl(n.v, n.target()).to(at::kDouble);
    const auto log_prob = log_likelihood(o_, l_B, n.sigma_B);
    at::Tensor v_ema, old = log_prob.detach();
    if (off_policy || o_.ema_kl_beta > 0.0) v_ema = n.answer(ema);
    if (off_policy) old = log_likelihood(o_, velocity_kl(v_ema, n.target()).to(at::kDouble), n.sigma_B);
    const auto ratio_B = ratio(log_prob.detach(), old);
    StepLoss loss{.policy_B = [=, this](const at::Tensor& advantage_B) {
      const auto in_unit_B = advantage_B / o_.advantages.norm.clip;
      return grpo_loss(log_prob, old, in_unit_B, o_.clip_range).loss_B;
    }};
    add_velocity_penalty(loss, "kl_loss", n, reference, o_.kl_beta);
    if (o_.ema_kl_beta > 0.0)
      loss.penalties.push_back({"ema_kl_loss", velocity_kl(n.v, v_ema), o_.ema_kl_beta});
    loss.measures = {{"matching_loss", l_B.detach()},
                     {"ratio", ratio_B},
                     {"approx_kl", 0.5 * (log_prob.detach() - old).square()},
                     {"clipfrac", ((ratio_B - 1.0).abs() > o_.clip_range).to(at::kDouble)}};
    return loss;
  }

  const Options o_;
  Training& t_;
  Role& ema_;
  const std::unique_ptr<Aggregator> aggregator_;
};

class Awm final : public MatchingOf<Awm, AwmRun, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_);
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
               e.number({"rate", "growth of the decay an iteration; 0: it follows at once"}, o_.lag.rate, 0.0,
                        1.0);
               e.number({"maximum", "largest decay"}, o_.lag.maximum, 0.0, 1.0);
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

  std::optional<double> clip_range() const override { return o_.clip_range; }
};

}  // namespace

std::unique_ptr<Method> make_awm() {
  return std::make_unique<Awm>();
}

}  // namespace thalweg
