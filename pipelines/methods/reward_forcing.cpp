// Re-DMD, the distillation of Reward Forcing (Lu et al. 2025, arXiv 2512.04678): DMD's loss of each sample
// times exp(beta r), r the reward of the picture that the sample ends in. No reward needs a gradient, and
// none pushes a sample away: without a difference between rewards it is DMD (dmd.h). The weights say where
// the teacher is matched first, and best by a generator that cannot match it everywhere; where mu_real =
// mu_fake nothing is left to weigh, so one that can ends at the teacher itself and at no tilt of it.
//
// r is the advantage in the sample's group, clamped, so that the weights are bounded; they are divided by
// their mean over the rollout, which an optimizer like Adam does not see. The authors' reward is normalised
// over a data set, and their code weighs a whole batch by the reward of its first item alone; here each
// sample has its own weight. The critic learns from all samples alike, those without a reward too.
#include "engine/losses/rwr.h"
#include "pipelines/methods/dmd.h"
#include "pipelines/training/aggregation.h"

namespace thalweg {
namespace {

struct Options : DmdOptions {
  Options() {
    groups = {.groups = 8, .group_size = 12, .updates = 1};
    norm.clip = 2.0;
  }
  GroupNorm norm;
  double beta = 2.0;
};

class RewardForcingRun final : public MethodRun {
 public:
  RewardForcingRun(const Options& options, Training& training)
      : o_(options), t_(training), dmd_(options, training) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    auto& distillation = dmd_.distillation();
    if (distillation.start(iteration, metrics)) return metrics;
    if (!distillation.generator_learns(iteration)) {
      auto walks = distillation.draw(iteration, metrics);
      dmd_.learn(walks, {}, iteration, metrics);
      return metrics;
    }
    Walks walks(draw_groups(t_, iteration, o_.groups, t_.policy.velocity(),
                            [](const SamplerInput& in) { return walk(in); }),
                o_.groups, metrics);
    dmd_.learn(walks, weights(score(t_, walks.batches(), metrics), metrics), iteration, metrics);
    return metrics;
  }

  double stored_latents() const override { return Walks::stored_latents(t_.schedule); }

 private:
  SampleWeights weights(const Scores& scores, Metrics& metrics) const {
    require_totals(scores);
    const auto r = advantages_of(scores.total, scores.group_B, o_.norm, metrics);
    const auto exponential = rwr_weights(r.values_B, r.used_B, 1.0 / o_.beta);
    metrics.emplace_back("ess", exponential.ess);
    return {exponential.weight_B, r.used_B};
  }

  const Options o_;
  Training& t_;
  Dmd dmd_;
};

class RewardForcing final : public DmdOf<RewardForcing, RewardForcingRun, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.norm);
    f.number({"beta", "a sample weighs exp(beta r), r its advantage. Watch the metric ess"}, o_.beta, 1e-3,
             1e2);
    thalweg::describe(f, static_cast<DmdOptions&>(o_));
  }
};

}  // namespace

std::unique_ptr<Method> make_reward_forcing() {
  return std::make_unique<RewardForcing>();
}

}  // namespace thalweg
