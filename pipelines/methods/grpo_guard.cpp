// GRPO-Guard (Wang et al. 2025, arXiv 2510.22319): Flow-GRPO with a ratio whose logarithm has mean 0 and the
// same scale at all steps, and a loss in which all steps weigh the same.
#include "engine/core/error.h"
#include "engine/losses/guard.h"
#include "pipelines/methods/replay_method.h"

namespace thalweg {
namespace {

class GrpoGuard final : public Cloneable<GrpoGuard, ClippedReplay> {
 public:
  GrpoGuard() : Cloneable("grpo_guard", 2e-6) {}

  void check(const TrainingOptions& options) const override {
    ClippedReplay::check(options);
    if (options.sampler.kind->log_prob() != gaussian)
      throw Error("/sampler/log_prob",
                  "grpo_guard's correction is that of the Gaussian's log-prob: take \"gaussian\", or another "
                  "sampler, as flow_sde");
  }

  StepLoss loss(const Replayed& r) const override {
    const auto log_ratio_B =
        guarded_log_ratio(r.log_prob_B, r.old_log_prob_B, r.there.mean_BCFHW, r.old_mean(), r.there.std);
    StepLoss loss{.policy_B = [clip = clip_range_, dt = r.dt, log_ratio_B](const at::Tensor& advantage_B) {
      return guard_loss(log_ratio_B, advantage_B.to(log_ratio_B.scalar_type()), clip, dt).loss_B;
    }};
    add_ratio_measures(loss, log_ratio_B, clip_range_);
    return loss;
  }
};

}  // namespace

std::unique_ptr<Method> make_grpo_guard() {
  return std::make_unique<GrpoGuard>();
}

}  // namespace thalweg
