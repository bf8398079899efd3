// Flow-DPPO (arXiv 2606.11025): no clip; a term is left out where the policy has gone as far from the one
// that drew the samples as the divergence of their Gaussians allows, and would go further.
#include "engine/losses/dppo.h"
#include "engine/losses/grpo.h"
#include "pipelines/methods/replay_method.h"

namespace thalweg {
namespace {

class FlowDppo final : public Cloneable<FlowDppo, ReplayMethod> {
 public:
  FlowDppo() : Cloneable("flow_dppo") { o_.replay.anchor = "recomputed"; }

  void describe(Fields& f) override {
    ReplayMethod::describe(f);
    f.number({"divergence_threshold",
              "KL divergence of the two policies' steps, a latent element, at which terms are left out"},
             threshold_, 0.0, 1e3);
  }

  StepLoss loss(const Replayed& r) const override {
    const auto divergence_B = gaussian_kl(r.there.mean_BCFHW.detach(), r.old_mean(), r.there.std);
    const auto old_B = r.old_log_prob_B, log_prob_B = r.log_prob_B;
    StepLoss loss{.policy_B = [=, threshold = threshold_](const at::Tensor& advantage_B) {
      const auto a = advantage_B.to(log_prob_B.scalar_type());
      return dppo_loss(log_prob_B, old_B, divergence_B, a, threshold).loss_B;
    }};
    const auto far_B = (divergence_B >= threshold_).to(divergence_B.scalar_type());
    loss.measures = {{"approx_kl", 0.5 * (log_prob_B.detach() - old_B).square()},
                     {"divergence", divergence_B},
                     {"beyond_threshold", far_B}};
    return loss;
  }

 private:
  double threshold_ = 1e-5;
};

}  // namespace

std::unique_ptr<Method> make_flow_dppo() {
  return std::make_unique<FlowDppo>();
}

}  // namespace thalweg
