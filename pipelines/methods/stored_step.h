// Stored transitions: what a rollout leaves of the steps that are trained, and how far they are from a
// reference.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipelines/training/scores.h"
#include "pipelines/training/updates.h"

namespace thalweg {

/// A rollout whose trained steps were stored.
struct Transitions {
  std::vector<MicroBatch> batches;
  Scores scores;
  Kernel kernel;
};

/// A stored transition of a share, replayed.
struct Replayed {
  const MicroBatch& batch;
  size_t index;                          // of the trained steps
  Step step;                             // with its kernel
  double dt;                             // s - s' > 0
  at::Tensor x, next;                    // rows of masked samples are 0
  Transition there;                      // of the policy, with its gradient
  at::Tensor log_prob_B;                 // of the policy, with its gradient
  at::Tensor old_log_prob_B;             // of the policy that drew the samples
  std::function<at::Tensor()> old_mean;  // its mean; costs a draw of noise
};

/// Step `i` of those stored; nothing of the policy yet. Rows that are not used are 0.
Replayed stored_step(const Training& training, const Kernel& kernel, const MicroBatch& batch, size_t i,
                     const at::Tensor& used_B);

/// Mean of the policy that drew the step, to rounding: it drew next = mean + std e, and e is drawn again.
at::Tensor drawn_mean(const Training& training, const Replayed& step);

/// KL of the step with this mean against the guided `reference`, [B]; see ReplayOptions::kl_scale. The mean
/// carries the gradient.
at::Tensor reference_kl(const Replayed& step, const at::Tensor& mean_BCFHW, const Velocity& reference,
                        const std::string& kl_scale);

/// Of samples, the means over their trained steps: [B], float64 on the CPU.
struct RolloutKl {
  at::Tensor kl_B;
  /// log p - log p_ref of the transition that was drawn, in the KL's scale: its expectation is the KL, and it
  /// says which of the noises that might have been drawn lead away from the reference. The KL itself is that
  /// of a state: as a reward it would teach nothing about the step taken there.
  at::Tensor log_ratio_B;
};

/// Of the policy that drew the samples against `reference` (without guidance). `used_B`: rows that are asked
/// for; the others are arbitrary.
RolloutKl rollout_kl(Training& training, const Transitions& transitions, const Velocity& reference,
                     const std::string& kl_scale, const at::Tensor& used_B);

}  // namespace thalweg
