// The transition loop: the transitions of some steps are stored while samples are drawn, and replayed with
// the policy that is trained. What the GRPO family shares.
#pragma once

#include "pipelines/methods/step_loss.h"

namespace thalweg {

/// Keys of every method that replays.
struct ReplayOptions {
  std::string anchor = "rollout";  // of the ratio; or "recomputed"
  double kl_beta = 0.0;
  std::string kl_scale = "diffusion";  // or "std"
};
void describe(Fields& fields, ReplayOptions& options);

/// A rollout whose trained steps were stored.
struct Transitions {
  std::vector<MicroBatch> batches;
  Scores scores;
  Kernel kernel;
};

/// Drawn by the policy, guided as the job says, and scored; `trained`: ascending steps of `window`.
Transitions draw_transitions(Training& training, int64_t iteration, const GroupPlan& plan, StepWindow window,
                             const std::vector<int64_t>& trained, Metrics& metrics);

/// A stored transition of a share, replayed.
struct Replayed {
  const MicroBatch& batch;
  size_t index;                  // of the trained steps
  Step step;                     // with its kernel
  double dt;                     // s - s' > 0
  at::Tensor x, next;            // rows of masked samples are 0
  Transition there;              // of the policy, with its gradient
  at::Tensor log_prob_B;         // of the policy, with its gradient
  at::Tensor old_log_prob_B;     // of the policy that drew the samples
  std::function<at::Tensor()> old_mean;  // its mean; costs a draw of noise
};

/// How a method trains on transitions.
struct Replay {
  ReplayOptions options;
  LogProb log_prob;
  std::function<StepLoss(const Replayed&, const Share& rows)> loss;
  Guidance shared = {};  // wraps the guided velocities: rows with the same latents may share a forward
};

/// All updates of an iteration. Throws Error when, at the first update of a float32 run, log-probs of the
/// rollout and of the training disagree.
void train_on_transitions(Training& training, const Transitions& transitions, const GroupPlan& plan,
                          const Advantages& advantages, Aggregator& aggregator, const Replay& replay,
                          int64_t iteration, Metrics& metrics);

/// What the field reports of a clipped ratio: approx_kl, clipfrac and its two sides.
void add_ratio_measures(StepLoss& loss, const Replayed& replayed, const at::Tensor& ratio_B,
                        double clip_range);

/// Throws Error for a sampler without noise, or a window that leaves no step to train.
void check_replay(const SamplerSection& sampler, const std::string& method);

}  // namespace thalweg
