// The few-step loop: a generator, or a teacher, walks K deterministic steps from noise; the states of all of
// them are kept, and roles are trained there. What TDM and its like share.
#pragma once

#include "engine/core/per_sample.h"
#include "pipelines/methods/step_loss.h"
#include "pipelines/methods/tau.h"

namespace thalweg {

/// What a job that trains a few-step generator must be: throws Error at /sampler or /method.
void check_walks(const TrainingOptions& options, const GroupPlan& plan);

/// The steps of a schedule by Euler, each in `parts` equal ones: of the states, those between whole steps are
/// kept. Guided as the sampler's velocity is.
Trajectory walk(const SamplerInput& input, int64_t parts = 1);

/// The trajectories of an iteration, and updates on them.
class Walks {
 public:
  /// Samples of which a number is not finite do not count. The deviation of the clean latents is the metric
  /// clean_deviation: a generator may leave the decoder's range while its loss falls.
  Walks(std::vector<MicroBatch> batches, const GroupPlan& plan, Metrics& metrics);

  /// Of each sample: its states and its clean latents.
  static double stored_latents(const Schedule& schedule) { return static_cast<double>(schedule.steps() + 1); }
  const std::vector<MicroBatch>& batches() const { return batches_; }
  /// The plan's update `i`, of the samples that `also_B` lets count (undefined: all). Each time it is another
  /// optimizer step of the iteration, whose first alone may be given up.
  Update update(int64_t i, const at::Tensor& also_B = {});
  int64_t updates_so_far() const { return steps_; }
  /// So many optimizer steps were taken elsewhere.
  void count(int64_t updates) { steps_ += updates; }

 private:
  const std::vector<MicroBatch> batches_;
  const GroupPlan plan_;
  at::Tensor used_B_;
  int64_t steps_ = 0;
};

/// A step of the trajectory of each sample of a micro-batch, from level t = step.sigma_B to s =
/// step.next_sigma_B. Rows that are not used are 0.
struct WalkedStep {
  const MicroBatch& batch;
  int64_t index;             // among those of a sample that are trained
  std::vector<int64_t> k_B;  // which step it is
  Step step;                 // asks for the velocity at x
  at::Tensor x, next;        // [B,C,F,H,W]
  at::Tensor last;           // where the trajectory ends
  int64_t begin = 0;         // of the micro-batch, among all samples
  /// That led from one to the other.
  at::Tensor v() const { return (x - next) / per_sample(step.sigma_B - step.next_sigma_B, x); }
};

/// x_tau = al next + be e (engine/losses/distribution_matching.h).
struct Renoised {
  at::Tensor x_tau, noise;
  Step step;  // at tau
  const Conditioning& conditioning;

  /// Of any role, without gradient.
  at::Tensor velocity(const Velocity& of) const;
  at::Tensor clean(const Velocity& of) const;
};
/// `draw`: of an iteration's draws for the same states.
Renoised renoised(const Training& training, const WalkedStep& walked, const TauOptions& options,
                  int64_t draw);

/// The loss of a role at a step, [B], and what is measured beside it.
struct StateLoss {
  at::Tensor loss_B;
  std::vector<Term> measures = {};
};

/// What an optimizer step on trajectories learns.
struct WalkedLoss {
  std::string name;    // of the metric that its mean becomes
  int64_t states = 0;  // of each sample, at random; 0: all, in order
  int64_t draw = 0;    // of an iteration's draws
  std::function<StateLoss(const WalkedStep&)> of;
  at::Tensor weight_B = {};  // of all samples of the rollout, float64 on the CPU; undefined: 1
  Role* also = nullptr;      // another role that learns from the same loss
  double also_rate = 0.0;
};

/// One optimizer step of `role` at the rate given. Metrics are sums over an iteration divided by
/// `of_iteration`, the number of such updates in it.
void train_on_walked(Training& training, Role& role, const Update& update, const WalkedLoss& loss,
                     double rate, int64_t of_iteration, Metrics& metrics);

}  // namespace thalweg
