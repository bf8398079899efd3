// DGPO, Direct Group Preference Optimization (Luo et al. 2025, arXiv 2510.08425): rollout with any sampler,
// clean latents only -> score -> group advantages -> forward noising, one noise and level a group -> the
// matching error l of each sample, weighted by A and by how far its group is from being told apart. Guards as
// in its authors' code and, towards the base model, TDM-R1's (arXiv 2603.07700).
//
// Weights and guards are computed before each update, from a pass without gradients over all its samples, so
// that a micro-batch may hold a part of a group. Of the originals it differs in three things: the distance to
// the base model is each sample's own, not the micro-batch's mean; noisings of a sample have noises of their
// own; groups have levels of their own.
#include <ATen/ATen.h>

#include "engine/losses/group_preference.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/lag.h"
#include "pipelines/methods/matching.h"
#include "pipelines/methods/method.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{16, 12, 1};
  AdvantageOptions advantages;
  double beta = 100.0, clip_range = 1e-3, base_limit = 0.05, kl_beta = 1e-3;
  std::string reference = "base";
  double base_guidance = 1.0;
  int64_t average_rollouts_after = 200;
  LevelOptions levels{.last_share = 0.7};
  Lag lag{.maximum = 0.3};  // of the average, by optimizer steps
};

class DgpoRun final : public MethodRun {
 public:
  DgpoRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        average_(training.roles.add("average", training.space, cloned(training.policy.parameters()))),
        base_(cfg(options.base_guidance, training.unconditional)(training.space.reference())),
        aggregator_(options.advantages.start(training)) {}

  Metrics iterate(int64_t iteration) override {
    const auto& drawing = t_.policy.steps() > o_.average_rollouts_after ? average_ : t_.policy;
    auto metrics = match_groups(t_, iteration, o_.groups, drawing.velocity(), *aggregator_, matching());
    follow();
    return metrics;
  }

  void state(RunState& state) override { aggregator_->state(state); }

 private:
  Matching matching() {
    return {
        .times = o_.levels.times,
        .sigmas_TB = [this, levels = schedule_levels(t_, o_.levels.last_share)](
                         const auto& slot_B) { return shuffled_sigmas(t_, levels, o_.levels.times, slot_B); },
        .loss = [this](const Noising& n, const Share&) { return loss_of(n); },
        .of_group = true,
        .prepare = [this](const UpdateNoisings& all, std::vector<Head>& heads,
                          Metrics& told) { weigh(all, heads, told); }};
  }

  StepLoss loss_of(const Noising& n) const {
    auto loss = weighted_error(n);
    add_velocity_penalty(loss, "kl_loss", n, base_, o_.kl_beta);
    return loss;
  }

  // After each step. Not before an iteration's first, which may still be given up.
  void follow() { average_.follow(t_.policy, o_.lag.at(t_.policy.steps())); }

  // Advantages become w A, or 0 where a guard says so.
  void weigh(const UpdateNoisings& all, std::vector<Head>& heads, Metrics& told) {
    const auto& update = all.update;
    if (update.index > 0) follow();
    const auto policy = t_.policy.velocity(), average = average_.velocity();
    const bool base = o_.base_limit > 0.0 || o_.reference == "base";
    const auto errors = all.measure(base ? 4 : 2, [&](const Noising& n) {
      const auto v = n.answer(policy);
      std::vector<at::Tensor> of_noising = {velocity_kl(v, n.target()),
                                            velocity_kl(n.answer(average), n.target())};
      if (base) {
        const auto v_base = n.answer(base_);
        of_noising.insert(of_noising.end(), {velocity_kl(v_base, n.target()), velocity_kl(v, v_base)});
      }
      return of_noising;
    });
    const auto &l = errors[0], &l_old = errors[1], &l_ref = o_.reference == "base" ? errors[2] : errors[1];
    for (auto& head : heads) {
      const auto A = head.advantage_B;
      const auto used_B = head.weight_B > 0.0;
      const auto w = dgpo_group_weight(l, l_ref, A, groups_of(update), used_B, o_.beta);
      const auto clipped = dgpo_clipped(l, l_old, A, o_.clip_range);
      const auto far = o_.base_limit > 0.0 ? dgpo_too_far(l, errors[2], errors[3], A, o_.base_limit)
                                           : at::zeros_like(clipped);
      head.advantage_B = at::where(at::logical_or(clipped, far), 0.0, w * A);
      const auto tell = [&](const char* name, const at::Tensor& of_TB) {
        const auto mean = (of_TB.to(at::kDouble) * head.weight_B).sum(1).mean().item<double>();
        add_metric(told, name, mean / static_cast<double>(heads.size()));
      };
      tell("group_weight", w);
      tell("ratio", (l_old - l).exp());
      tell("clipfrac", clipped);
      tell("base_clipfrac", far);
    }
  }

  const Options o_;
  Training& t_;
  Role& average_;
  const Velocity base_;
  const std::unique_ptr<Aggregator> aggregator_;
};

class Dgpo final : public MethodOf<Dgpo, DgpoRun, Options> {
 public:
  bool denoises() const override { return true; }
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.advantages);
    f.number(
        {"beta",
         "strength of a group's preference in its weight sigmoid(mean A beta (l - l_ref)); 0: all groups "
         "weigh 1/2"},
        o_.beta, 0.0, 1e6);
    f.choice(
        {"reference",
         "what l_ref is of: the base model (beta 10 to 100), or the policy's average (beta 2000 to 5000)"},
        o_.reference, {"base", "average"});
    f.number(
        {"base_guidance", "guidance scale of the base model in l_ref, limit and penalty; at most 1: none"},
        o_.base_guidance, 0.0, 100.0);
    f.number({"clip_range",
              "a sample stops teaching where exp(l_average - l) is further than this from 1 along "
              "its advantage"},
             o_.clip_range, 1e-9, 10.0);
    f.number(
        {"base_limit",
         "squared velocity difference to the base model beyond which a sample no longer leads away; 0: none"},
        o_.base_limit, 0.0, 1e6);
    f.number({"kl_beta", "weight of the squared velocity difference to the base model"}, o_.kl_beta, 0.0,
             1e3);
    thalweg::describe(f, {"average", "how slowly the policy's average follows, by optimizer steps n"},
                      o_.lag);
    f.integer({"average_rollouts_after", "optimizer steps after which the average draws the rollouts"},
              o_.average_rollouts_after, 0, 1000000000);
    thalweg::describe(f, o_.levels);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    o_.levels.check(options.sampler.steps);
  }

  std::optional<double> clip_range() const override { return o_.clip_range; }
};

}  // namespace

std::unique_ptr<Method> make_dgpo() {
  return std::make_unique<Dgpo>();
}

}  // namespace thalweg
