// CRD, Centered Reward Distillation (arXiv 2603.14128): rollout of a snapshot of the policy, clean latents
// only -> score -> group advantages as rewards r in [0, 1] -> forward noising -> the policy's implicit
// reward, by its matching error and that of a second snapshot, is drawn to r, both centred over the update.
// Beside it the squared velocity difference to the reference, which is guided: guidance is distilled on the
// way.
//
// Left open by the paper and taken from its authors' trainer as Flow-Factory has it: uniform weights in the
// centring, the scale adv_clip_max / beta, and a penalty that grows with r. The means need all samples: they
// come from a pass without gradients before each update. Here they are those of the update, not of whatever
// the devices hold at a time; of a noising, groups have levels of their own in the same part of the schedule.
#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/device.h"
#include "engine/losses/centered_reward.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/lag.h"
#include "pipelines/methods/matching_method.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

// Lags are by iterations.
struct Options : MatchingOptions {
  double beta = 1.0, kl_beta = 0.1, kl_guidance = 4.5, kl_floor = 1e-3;
  LevelOptions levels{.last_share = 0.99};
  Lag old_lag{.initial = 0.25, .rate = 0.005, .maximum = 0.999}, sampler_lag{.name = "late"};
};

class CrdRun final : public MethodRun {
 public:
  CrdRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        old_(training.roles.add("old", training.space, cloned(training.policy.parameters()))),
        sampler_(training.roles.add("sampler", training.space, cloned(training.policy.parameters()))),
        teacher_(cfg(options.kl_guidance, training.unconditional)(training.space.reference())),
        aggregator_(options.advantages.start(training)) {}

  Metrics iterate(int64_t iteration) override {
    auto metrics = match_groups(t_, iteration, o_.groups, sampler_.velocity(), *aggregator_, matching());
    const double old_decay = o_.old_lag.at(iteration + 1), sampler_decay = o_.sampler_lag.at(iteration + 1);
    old_.follow(t_.policy, old_decay);
    sampler_.follow(t_.policy, sampler_decay);
    metrics.emplace_back("old_decay", old_decay);
    metrics.emplace_back("sampler_decay", sampler_decay);
    return metrics;
  }

  void state(RunState& state) override { aggregator_->state(state); }

 private:
  Matching matching() {
    return {.times = o_.levels.times,
            .sigmas_TB =
                [this](const auto& slot_B) {
                  auto group_B = slot_B;  // of all iterations: a group is compared at one level
                  for (auto& slot : group_B) slot /= o_.groups.group_size;
                  return stratified_sigmas(t_, 0, o_.levels.of(t_.schedule.steps()), o_.levels.times,
                                           group_B);
                },
            .loss = [this](const Noising& n, const Share& rows) { return loss_of(n, rows); },
            .prepare = [this](const UpdateNoisings& all, std::vector<Head>& heads,
                              Metrics& told) { compare(all, heads, told); }};
  }

  StepLoss loss_of(const Noising& n, const Share& rows) const {
    const auto r_th_B = -self_normalised_error(n.v, n.target());  // up to the old policy's, a constant
    StepLoss loss{.policy_B = [=, this](const at::Tensor& residual_B) {
      return crd_loss(r_th_B, residual_B.to(r_th_B), o_.beta, o_.advantages.norm.clip);
    }};
    if (o_.kl_beta > 0.0) {
      const auto share_B = on_device(rows.rows(kl_share_B_), n.x0.device());
      const auto kl_B = velocity_kl(n.v, n.answer(teacher_));
      loss.penalties = {{"kl_loss", share_B.to(kl_B) * kl_B, o_.kl_beta}};
    }
    return loss;
  }

  // Advantages become residuals. Of several heads, the penalty goes by the mean of their rewards.
  void compare(const UpdateNoisings& all, std::vector<Head>& heads, Metrics& told) {
    const auto& update = all.update;
    const auto policy = t_.policy.velocity(), old = old_.velocity();
    const auto measured = all.measure(2, [&](const Noising& n) {
      const auto v = n.answer(policy), v_old = n.answer(old);
      return std::vector<at::Tensor>{crd_implicit_reward(v, v_old, n.target()), velocity_kl(v, v_old)};
    });
    const auto mean = [&](const at::Tensor& of_TB) {
      return at::where(update.used_B, of_TB, 0.0).sum(1).mean().item<double>() / std::max(update.used, 1.0);
    };
    add_metric(told, "implicit_reward", mean(measured[0]));
    add_metric(told, "old_deviation", mean(measured[1]));
    auto r_mean_B = at::zeros(update.used_B.sizes(), at::kDouble);
    for (auto& head : heads) {
      const auto r_B = nft_optimality(head.advantage_B, o_.advantages.norm.clip);
      r_mean_B += r_B / static_cast<double>(heads.size());
      head.advantage_B = crd_residual(measured[0], r_B, head.weight_B > 0.0, o_.beta);
    }
    kl_share_B_ = o_.kl_floor + r_mean_B * (1.0 - o_.kl_floor);
  }

  const Options o_;
  Training& t_;
  Role &old_, &sampler_;
  const Velocity teacher_;
  const std::unique_ptr<Aggregator> aggregator_;
  at::Tensor kl_share_B_;  // of kl_beta, in this update
};

class Crd final : public MatchingOf<Crd, CrdRun, Options> {
 public:
  double guidance_scale() const override { return o_.kl_beta > 0.0 ? o_.kl_guidance : 1.0; }
  void describe(Fields& f) override {
    thalweg::describe(f, o_);
    f.number({"beta", "scale of the implicit reward; smaller: further from the old policy"}, o_.beta, 1e-3,
             1e3);
    f.number({"kl_beta", "weight of the squared velocity difference to the guided reference"}, o_.kl_beta,
             0.0, 1e3);
    f.number({"kl_guidance", "guidance scale of that reference; at most 1: none"}, o_.kl_guidance, 0.0,
             100.0);
    f.number({"kl_floor", "share of kl_beta for the worst samples; it grows to 1 for the best"}, o_.kl_floor,
             0.0, 1.0);
    thalweg::describe(f, {"old_policy", "how slowly that of the implicit reward follows, by iterations n"},
                      o_.old_lag);
    thalweg::describe(f, {"rollout_policy", "how slowly that which draws follows, by iterations n"},
                      o_.sampler_lag);
    thalweg::describe(f, o_.levels);
  }

  void check(const TrainingOptions& options) const override { check_levels(o_.groups, o_.levels, options); }
};

}  // namespace

std::unique_ptr<Method> make_crd() {
  return std::make_unique<Crd>();
}

}  // namespace thalweg
