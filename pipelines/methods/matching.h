// The clean-latent loop: samples are drawn with any sampler, their clean latents are noised again, and the
// policy's velocity there is trained. What NFT, AWM and their like share.
#pragma once

#include "pipelines/methods/step_loss.h"

namespace thalweg {

/// Samples of a micro-batch at noise levels of their own: x_t = (1 - sigma) x_0 + sigma e. The velocity to
/// match is e - x_0. Of states x_s before the clean latents it is that of their path to x_t
/// (engine/losses/distribution_matching.h).
struct Noising {
  const MicroBatch& batch;
  int64_t index;       // of the noisings of a sample
  at::Tensor x0, x_t;  // rows of masked samples are 0; x0 is x_s where states are noised
  at::Tensor noise;
  at::Tensor sigma_B;  // float64, on the device
  Step step;
  at::Tensor s_B;  // of the states, float64; undefined: clean latents
  at::Tensor k_B;  // steps that end there, int64
  at::Tensor v;    // of what is trained, with its gradient

  at::Tensor target() const;
  /// Of another role, without gradient.
  at::Tensor answer(const Velocity& velocity) const;
};

/// Numbers [B] of a noising.
using NoisingMeasure = std::function<std::vector<at::Tensor>(const Noising&)>;

/// The noisings of an update, before it.
struct UpdateNoisings {
  const Update& update;
  /// So many numbers of each: see measure_noisings().
  std::function<std::vector<at::Tensor>(int64_t numbers, const NoisingMeasure&)> measure;
};

/// How a method trains on clean latents.
struct Matching {
  int64_t times = 1;   // noisings of a sample in an update
  int64_t passes = 1;  // over the updates, each with noisings of its own
  /// Noise levels [passes*times,B] for these slots, float64 on the CPU.
  std::function<at::Tensor(const std::vector<int64_t>& slot_B)> sigmas_TB;
  /// Of each noising; `rows`: of the micro-batch among all samples.
  std::function<StepLoss(const Noising&, const Share& rows)> loss;
  bool of_group = false;  // one noise and one level for all samples of a group, else each its own
  /// Steps [passes*times,B] whose ends are noised, int64 on the CPU; none: clean latents are.
  std::function<at::Tensor(const std::vector<int64_t>& slot_B)> steps_TB = {};
  Role* role = nullptr;        // that is trained; none: the policy
  int64_t updates_before = 0;  // optimizer steps of this iteration: only its first may be given up
  /// What is trained on a micro-batch, a function of the role's parameters; none: the role.
  std::function<Velocity(const Share& rows)> velocity = {};
  /// Called before each update with what it differentiates. A loss that couples its samples turns advantages
  /// [B] into coefficients [times,B], from what the update's noisings say of all of them. What it adds to
  /// `told` becomes a metric, the mean over the updates.
  std::function<void(const UpdateNoisings&, std::vector<Head>&, Metrics& told)> prepare = {};
};

/// A rollout and what was said of it.
struct Rollout {
  std::vector<MicroBatch> batches;
  Scores scores;
};

/// Drawn with `velocity` (guided as the job says) by the job's sampler, whichever it is, and scored.
Rollout draw_clean_latents(Training& training, int64_t iteration, const GroupPlan& plan,
                           const Velocity& velocity, Metrics& metrics);

/// All updates of an iteration.
void train_on_clean_latents(Training& training, const std::vector<MicroBatch>& batches, const GroupPlan& plan,
                            const Advantages& advantages, Aggregator& aggregator, const Matching& matching,
                            int64_t iteration, Metrics& metrics);

/// Numbers of each noising of an update, [numbers][times,B]: without gradients, at the noisings that the
/// update itself will have (Noising::v is undefined). Rows of other updates are 0; float64 on the CPU.
std::vector<at::Tensor> measure_noisings(Training& training, const GroupPlan& plan, const Matching& matching,
                                         const Update& update, int64_t iteration, int64_t numbers,
                                         const NoisingMeasure& measure, int64_t pass = 0);

/// The group of each sample, int64 [B] of the size of `update.used_B`; 0 for rows of other updates.
at::Tensor groups_of(const Update& update);

/// The first two together: an iteration of a method that keeps all samples.
Metrics match_groups(Training& training, int64_t iteration, const GroupPlan& plan, const Velocity& velocity,
                     Aggregator& aggregator, const Matching& matching);

/// Noise levels of the first int(share * steps) steps of the rollout's schedule; the last (0) is none of
/// them.
std::vector<double> schedule_levels(const Training& training, double share = 1.0);

/// Keys "times_per_sample" and "last_share" of a method that trains at levels of the schedule.
struct LevelOptions {
  int64_t times = 4;        // noisings of a sample
  double last_share = 1.0;  // of the steps: whose levels are trained

  /// How many of so many steps are trained.
  int64_t of(int64_t steps) const { return static_cast<int64_t>(last_share * static_cast<double>(steps)); }
  /// Throws Error at their pointers when a sample has more noisings than those steps have levels.
  void check(int64_t steps) const;
};
void describe(Fields& fields, LevelOptions& options);

/// Levels of `of`, which each sample takes in an order of its own, [times,B]: the same sample always the
/// same ones.
at::Tensor shuffled_sigmas(const Training& training, const std::vector<double>& of, int64_t times,
                           const std::vector<int64_t>& slot_B);

/// Levels of steps [begin, end) of the schedule, one at random in each of `times` equal parts, [times,B]: the
/// same slot always the same ones.
at::Tensor stratified_sigmas(const Training& training, int64_t begin, int64_t end, int64_t times,
                             const std::vector<int64_t>& slot_B);

/// The matching error of each sample, by the head's advantage as its weight; with its mean among the metrics.
StepLoss weighted_error(const Noising& noising);

/// Squared velocity difference to `reference`; nothing where `weight` is 0.
void add_velocity_penalty(StepLoss& loss, const std::string& name, const Noising& noising,
                          const Velocity& reference, double weight);

}  // namespace thalweg
