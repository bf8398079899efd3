// Groups: samples of one prompt, drawn together and compared with each other. What every method that learns
// from rollouts draws (or finds among pictures), and the keys that those methods share.
#pragma once

#include <functional>

#include "pipelines/stages/rollout.h"
#include "pipelines/training/training.h"

namespace thalweg {

/// The groups of one rollout and how its updates share them.
struct GroupPlan {
  int64_t groups = 8, group_size = 16, updates = 1;
  bool same_noise = false;  // one initial noise a group: its samples differ by what the sampler draws

  /// First group of update `update`; begin(updates) is the number of groups.
  int64_t begin(int64_t update) const { return groups * update / updates; }
  int64_t samples() const { return groups * group_size; }
};

/// "prompts_per_iteration", "group_size", "updates", "same_noise".
void describe(Fields& fields, GroupPlan& plan);
/// The same without "group_size": that of pictures, which are there, is `plan.group_size` already.
void describe_given(Fields& fields, GroupPlan& plan);

/// Throws Error at /method/updates when an update would have no group, and at /method/same_noise when the
/// samples of a group would all be one, since `sampler` draws no noise.
void check_groups(const GroupPlan& plan);
void check_groups(const GroupPlan& plan, const SamplerSection& sampler);

/// `plan.groups` prompts of this iteration, `plan.group_size` samples each, drawn with `velocity` (guided) by
/// `sampler`, decoded and scored. No micro-batch belongs to two updates, so numbers do not depend on the
/// micro-batch. `sampler` may make `particles` samples of each (RolloutInput).
std::vector<MicroBatch> draw_groups(Training& training, int64_t iteration, const GroupPlan& plan,
                                    const Velocity& velocity,
                                    const std::function<Trajectory(const SamplerInput&)>& sampler,
                                    int64_t particles = 1);
/// The same without pictures and scores: for who learns from the latents alone.
std::vector<MicroBatch> draw_unscored_groups(Training& training, int64_t iteration, const GroupPlan& plan,
                                             const Velocity& velocity,
                                             const std::function<Trajectory(const SamplerInput&)>& sampler);

/// Groups of this iteration out of the training pictures, in place of a rollout: one line each, its pictures
/// the samples. At most `micro_batch` in a micro-batch, none of which belongs to two updates. A share of
/// `caption_dropout` of the samples is unconditional, each by its slot.
std::vector<MicroBatch> given_groups(const Training& training, int64_t iteration, const GroupPlan& plan,
                                     int64_t micro_batch, double caption_dropout = 0.0);

}  // namespace thalweg
