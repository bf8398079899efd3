// Flow-GRPO (Liu et al. 2025, arXiv 2505.05470): rollout with the SDE -> score -> group advantages -> clipped
// policy loss on the stored transitions, each replayed with its stored next latent -> optimizer.
#include <ATen/ATen.h>

#include "engine/losses/grpo.h"
#include "pipelines/methods/method.h"
#include "pipelines/methods/replay.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{8, 16, 2};
  AdvantageOptions advantages;
  ReplayOptions replay;
  double clip_range = 1e-4;
};

class FlowGrpoRun final : public MethodRun {
 public:
  FlowGrpoRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        aggregator_(options.advantages.start(training)),
        replay_{options.replay, log_prob_of(training.options.sampler),
                [this](const Replayed& r, const Share&) { return loss_of(r); }} {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto window = step_window(t_.options.sampler, t_.seed(), iteration);
    const auto drawn = draw_transitions(t_, iteration, o_.groups, window,
                                        trained_steps(window, t_.options.sampler.steps), metrics);
    train_on_transitions(t_, drawn, o_.groups, aggregator_->advantages(drawn.scores, metrics), *aggregator_,
                         replay_, iteration, metrics);
    return metrics;
  }

  void state(RunState& state) override { aggregator_->state(state); }

 private:
  StepLoss loss_of(const Replayed& r) const {
    StepLoss loss{.policy_B = [=, this, log_prob_B = r.log_prob_B,
                               old_B = r.old_log_prob_B](const at::Tensor& advantage_B) {
      return grpo_loss(log_prob_B, old_B, advantage_B.to(log_prob_B.scalar_type()), o_.clip_range).loss_B;
    }};
    add_ratio_measures(loss, r, ratio(r.log_prob_B, r.old_log_prob_B).detach(), o_.clip_range);
    return loss;
  }

  const Options o_;
  Training& t_;
  const std::unique_ptr<Aggregator> aggregator_;
  const Replay replay_;
};

class FlowGrpo final : public Cloneable<FlowGrpo, Method> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.advantages);
    thalweg::describe(f, o_.replay);
    f.number({"clip_range", "PPO clip of the ratio; small because log-probs are means over latent elements"},
             o_.clip_range, 1e-9, 10.0);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    check_replay(options.sampler, "flow_grpo");
  }

  GroupPlan& groups() override { return o_.groups; }
  std::optional<double> clip_range() const override { return o_.clip_range; }
  std::unique_ptr<MethodRun> start(Training& training) const override {
    return std::make_unique<FlowGrpoRun>(o_, training);
  }

 private:
  Options o_;
};

}  // namespace

std::unique_ptr<Method> make_flow_grpo() {
  return std::make_unique<FlowGrpo>();
}

}  // namespace thalweg
