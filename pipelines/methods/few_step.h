// The few-step loop: a generator, or a teacher, walks K deterministic steps from noise; the states of all of
// them are kept, and roles are trained there. What TDM and its like share.
#pragma once

#include "pipelines/methods/step_loss.h"

namespace thalweg {

/// The steps of the rollouts' schedule, by Euler, each in `parts` equal ones: of the states, those between
/// whole steps are kept. Guided as `velocity` is; neither decoded nor scored.
std::vector<MicroBatch> draw_trajectories(Training& training, int64_t iteration, const GroupPlan& plan,
                                          const Velocity& velocity, int64_t parts = 1);

/// Samples of whole trajectories of finite numbers, bool [B] on the CPU.
at::Tensor finite(const std::vector<MicroBatch>& batches);

/// A step k of the trajectories of a micro-batch, from level t to s < t. Rows that are not used are 0.
struct WalkedStep {
  const MicroBatch& batch;
  int64_t k;
  Step step;            // asks for the velocity at x
  double t, s;          // noise levels
  at::Tensor x, next;   // [B,C,F,H,W]
  at::Tensor v() const  // that led from one to the other
  {
    return (x - next) / (t - s);
  }
};

/// How high the state that a step ends at is noised again.
struct TauOptions {
  std::string range = "reverse";  // from s to `maximum`; or "separate": from s to t
  double margin = 0.02, maximum = 0.98, shift = 1.0;
};
void describe(Fields& fields, TauOptions& options);
/// Throws Error at /method/tau/... where a step of the schedule has no level left, and at /sampler/schedule
/// where its last step begins within the margin: nothing would be left to it.
void check_tau(const TauOptions& options, const Schedule& schedule);

/// x_tau = al next + be e (engine/losses/distribution_matching.h), tau uniform in the range before the
/// shift.
struct Renoised {
  at::Tensor x_tau, noise;
  Step step;  // at tau
};
/// `draw`: of an iteration's draws for the same states.
Renoised renoised(const Training& training, const WalkedStep& walked, const TauOptions& options,
                  int64_t draw);

/// The loss of a role at a step, [B], and what is measured beside it.
struct StateLoss {
  at::Tensor loss_B;
  std::vector<Term> measures = {};
};

/// One optimizer step of `role` at the rate given, on all steps of the update's trajectories; the mean of
/// the loss is the metric `name`. Metrics are sums over an iteration divided by `of_iteration`, the number of
/// such updates in it.
void train_on_walked(Training& training, Role& role, const Update& update, const std::string& name,
                     const std::function<StateLoss(const WalkedStep&)>& loss, double rate,
                     int64_t of_iteration, Metrics& metrics);

}  // namespace thalweg
