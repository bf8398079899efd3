// The transition loop: the transitions of some steps are stored while samples are drawn, and replayed with
// the policy that is trained. What the GRPO family shares.
#pragma once

#include "pipelines/methods/step_loss.h"
#include "pipelines/methods/stored_step.h"

namespace thalweg {

/// Keys of every method that replays.
struct ReplayOptions {
  std::string anchor = "rollout";  // of the ratio; or "recomputed"
  double kl_beta = 0.0;
  std::string kl_scale = "diffusion";  // or "std", "velocity"
};
void describe(Fields& fields, ReplayOptions& options);

/// Drawn by the policy, guided as the job says, and scored; `trained`: ascending steps of `window`.
Transitions draw_transitions(Training& training, int64_t iteration, const GroupPlan& plan, StepWindow window,
                             const std::vector<int64_t>& trained, Metrics& metrics);

/// How a method trains on transitions.
struct Replay {
  ReplayOptions options;
  LogProb log_prob;
  std::function<StepLoss(const Replayed&, const Share& rows)> loss;
  Velocity reference = {};  // of the KL term, without guidance; empty: the run's own
  Guidance shared = {};     // wraps the guided velocities: rows with the same latents may share a forward
};

/// All updates of an iteration. Throws Error when, at the first update of a float32 run, log-probs of the
/// rollout and of the training disagree.
void train_on_transitions(Training& training, const Transitions& transitions, const GroupPlan& plan,
                          const Advantages& advantages, Aggregator& aggregator, const Replay& replay,
                          int64_t iteration, Metrics& metrics);

/// What the field reports of a clipped ratio: approx_kl, clipfrac and its two sides.
void add_ratio_measures(StepLoss& loss, const Replayed& replayed, const at::Tensor& ratio_B,
                        double clip_range);
void add_ratio_measures(StepLoss& loss, const at::Tensor& log_ratio_B, double clip_range);

/// Throws Error for a sampler without noise, or a window that leaves no step to train.
void check_replay(const SamplerSection& sampler, const std::string& method);

}  // namespace thalweg
