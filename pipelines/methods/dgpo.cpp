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

#include "engine/optim/gradients.h"
#include "pipelines/methods/group_preference.h"
#include "pipelines/methods/lag.h"
#include "pipelines/methods/matching_method.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

struct Options : MatchingOptions {
  PreferenceOptions preference;
  double kl_beta = 1e-3, base_guidance = 1.0;
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
        preference_(options.preference, training.policy, average_, base_),
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
        .prepare =
            [this](const UpdateNoisings& all, std::vector<Head>& heads, Metrics& told) {
              if (all.update.index > 0) follow();
              preference_.weigh(all, heads, told);
            }};
  }

  StepLoss loss_of(const Noising& n) const {
    auto loss = weighted_error(n);
    add_velocity_penalty(loss, "kl_loss", n, base_, o_.kl_beta);
    return loss;
  }

  // After each step. Not before an iteration's first, which may still be given up.
  void follow() { average_.follow(t_.policy, o_.lag.at(t_.policy.steps())); }

  const Options o_;
  Training& t_;
  Role& average_;
  const Velocity base_;
  const GroupPreference preference_;
  const std::unique_ptr<Aggregator> aggregator_;
};

class Dgpo final : public MatchingOf<Dgpo, DgpoRun, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_);
    thalweg::describe(f, o_.preference);
    f.number(
        {"base_guidance", "guidance scale of the base model in l_ref, limit and penalty; at most 1: none"},
        o_.base_guidance, 0.0, 100.0);
    f.number({"kl_beta", "weight of the squared velocity difference to the base model"}, o_.kl_beta, 0.0,
             1e3);
    thalweg::describe(f, {"average", "how slowly the policy's average follows, by optimizer steps n"},
                      o_.lag);
    f.integer({"average_rollouts_after", "optimizer steps after which the average draws the rollouts"},
              o_.average_rollouts_after, 0, 1000000000);
    thalweg::describe(f, o_.levels);
  }

  void check(const TrainingOptions& options) const override { check_levels(o_.groups, o_.levels, options); }

  std::optional<double> clip_range() const override { return o_.preference.clip_range; }
};

}  // namespace

std::unique_ptr<Method> make_dgpo() {
  return std::make_unique<Dgpo>();
}

}  // namespace thalweg
