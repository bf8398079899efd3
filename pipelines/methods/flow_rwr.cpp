// Flow-RWR, reward-weighted regression (VideoReward, Liu et al. 2025, arXiv 2501.13918, section 4.2): rollout
// of the policy with any sampler, clean latents only -> score -> weights exp((r - max r) / beta) of mean 1
// over the rollout -> flow matching of each sample by its weight. No sample is pushed away: the policy moves
// to p exp(r / beta) / Z, from one iteration to the next.
#include <ATen/ATen.h>

#include "engine/losses/rwr.h"
#include "pipelines/methods/weighted_matching.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

struct Options : WeightedMatching {
  double beta = 0.2;
};

class FlowRwrRun final : public MethodRun {
 public:
  FlowRwrRun(const Options& options, Training& training) : o_(options), t_(training) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto [batches, scores] =
        draw_clean_latents(t_, iteration, o_.groups, t_.policy.velocity(), metrics);
    report_totals(scores, metrics);
    const auto& [reward_B, valid_B] = scores.total;
    const auto rwr = rwr_weights(reward_B, valid_B, o_.beta);
    metrics.emplace_back("ess", rwr.ess);
    train_on_clean_latents(t_, batches, o_.groups, weights(rwr.weight_B, valid_B), head_, matching_of(o_, t_),
                           iteration, metrics);
    return metrics;
  }

 private:
  const Options o_;
  Training& t_;
  OneHead head_;
};

class FlowRwr final : public MatchingOf<FlowRwr, FlowRwrRun, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    f.number({"beta", "temperature: a sample weighs exp(combined reward / beta). Watch the metric ess"},
             o_.beta, 1e-4, 1e4);
    thalweg::describe(f, o_);
  }

  void check(const TrainingOptions& options) const override { thalweg::check(o_, options); }
};

}  // namespace

std::unique_ptr<Method> make_flow_rwr() {
  return std::make_unique<FlowRwr>();
}

}  // namespace thalweg
