// Flow-RWR, reward-weighted regression (VideoReward, Liu et al. 2025, arXiv 2501.13918, section 4.2): rollout
// of the policy with any sampler, clean latents only -> score -> weights exp((r - max r) / beta) of mean 1
// over the rollout -> flow matching of each sample by its weight. No sample is pushed away: the policy moves
// to p exp(r / beta) / Z, from one iteration to the next.
#include <ATen/ATen.h>

#include "engine/losses/nft.h"
#include "engine/losses/rwr.h"
#include "pipelines/methods/matching.h"
#include "pipelines/methods/method.h"
#include "pipelines/methods/noise_levels.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{16, 12, 1};
  NoiseLevels levels{.times = 4};
  double beta = 0.2, kl_beta = 0.0;
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
    train_on_clean_latents(t_, batches, o_.groups, weights(rwr.weight_B, valid_B), head_, matching(),
                           iteration, metrics);
    return metrics;
  }

 private:
  Matching matching() const {
    return {.times = o_.levels.times,
            .sigmas_TB = [this](const auto& slot_B) { return drawn_levels(o_.levels, t_, slot_B); },
            .loss =
                [this, reference = o_.kl_beta > 0.0 ? t_.space.reference() : Velocity{}](const Noising& n,
                                                                                         const Share&) {
                  const auto l_B = velocity_kl(n.v, n.target());
                  StepLoss loss{.policy_B = [l_B](const at::Tensor& weight_B) {
                    return weight_B.to(l_B.scalar_type()) * l_B;
                  }};
                  add_velocity_penalty(loss, "kl_loss", n, reference, o_.kl_beta);
                  loss.measures = {{"matching_loss", l_B.detach()}};
                  return loss;
                }};
  }

  const Options o_;
  Training& t_;
  OneHead head_;
};

class FlowRwr final : public Cloneable<FlowRwr, Method> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    f.number({"beta", "temperature: a sample weighs exp(combined reward / beta). Watch the metric ess"},
             o_.beta, 1e-4, 1e4);
    thalweg::describe(f, o_.levels);
    f.number({"kl_beta", "weight of the squared velocity difference to the reference"}, o_.kl_beta, 0.0, 1e3);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    check_noise_levels(o_.levels, options);
  }

  GroupPlan& groups() override { return o_.groups; }
  std::unique_ptr<MethodRun> start(Training& training) const override {
    return std::make_unique<FlowRwrRun>(o_, training);
  }

 private:
  Options o_;
};

}  // namespace

std::unique_ptr<Method> make_flow_rwr() {
  return std::make_unique<FlowRwr>();
}

}  // namespace thalweg
