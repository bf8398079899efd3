// The loss of one training step (a noising of clean latents, a stored transition), as the two loops of this
// folder take it from a method: sample by sample, so that masks, heads and means are theirs.
#pragma once

#include "pipelines/training/aggregation.h"

namespace thalweg {

/// Of each sample of the share, [B].
struct Term {
  std::string name;  // of the metric that its mean becomes
  at::Tensor value_B;
  double weight = 0.0;  // of a penalty
};

struct StepLoss {
  std::string name = "policy_loss";  // of the metric
  /// For advantages [B] (float64, constants), or what a method has made of them; asked once a head. Its mean,
  /// of several heads theirs, is the metric. Where it is affine in the advantages, heads can be
  /// mixed into one (RewardHeads).
  std::function<at::Tensor(const at::Tensor& advantage_B)> policy_B;
  std::vector<Term> penalties = {};    // added whatever the advantages
  std::vector<Term> measures = {};     // only measured; no gradients
  std::vector<Measured> numbers = {};  // only measured, as they are
};

/// The heads of an update as one share of it sees them, on the device.
class ShareHeads {
 public:
  /// A sample has `steps` training steps.
  ShareHeads(const std::vector<Head>& heads, const Update& update, const Share& share, int64_t steps,
             at::Device device);

  /// Whether each sample counts, and 1 / (samples of the update * steps) or 0.
  const at::Tensor& used_B() const { return used_B_; }
  /// Sum over samples by that weight: of a whole update, the mean. What masked samples hold is not looked at.
  at::Tensor mean(const at::Tensor& value_B) const;
  /// Adds the gradients of a step to `sums`: one a head and, of several heads, the penalties' as one more.
  void differentiate(const StepLoss& loss, const TensorMap& parameters, Gradients& sums, StepRecord& record,
                     int64_t step = 0) const;

 private:
  struct OnDevice {
    at::Tensor advantage_B, weight_B;
    bool any;  // whether any of the samples counts
  };

  at::Tensor used_B_, weight_B_;
  std::vector<OnDevice> heads_;
};

/// Gradients that differentiate() leaves for so many heads.
int64_t gradients_of_heads(size_t heads);

/// Steps the role along the aggregator's direction, the penalties' gradient added to it.
void apply_heads(Training& training, Role& role, Aggregator& aggregator, Gradients gradients,
                 int64_t iteration, Metrics& metrics);

}  // namespace thalweg
