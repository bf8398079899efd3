// Some samples of a rollout in micro-batches of their own: for methods that train on the best of a group, or
// on pairs, so that nothing is computed for the rest.
#pragma once

#include "pipelines/training/aggregation.h"

namespace thalweg {

struct Selection {
  std::vector<MicroBatch> batches;  // without frames, rewards and picture statistics
  std::vector<int64_t> rows;        // of the rollout, in the order that they have here
};

/// `rows` of the rollout in their order, groups ascending, at most `micro_batch` in a micro-batch, none of
/// which belongs to two updates of `plan`. `micro_batch` a multiple of n keeps n rows of one update together.
Selection selected(const std::vector<MicroBatch>& batches, std::vector<int64_t> rows, const GroupPlan& plan,
                   int64_t micro_batch);

/// Those rows of a trajectory, on its device; what it lacks stays undefined.
Trajectory selected(const Trajectory& trajectory, const std::vector<int64_t>& rows);

/// The rows of `sum`, if it has any, then those of `part`, of the same trained steps: samples, conditioning
/// and trajectory.
void append(MicroBatch& sum, MicroBatch part);

/// Of the selected samples.
Advantages selected(const Advantages& advantages, const std::vector<int64_t>& rows);

/// The scored sample of highest reward of each group that has one, and of two alike the first; rows of the
/// rollout.
std::vector<int64_t> best_of_groups(const Scores& scores);

/// The best and the worst scored sample of each group that has two, one after the other; of those alike the
/// first. Where all of a group are alike they are its first two.
std::vector<int64_t> best_and_worst_of_groups(const Scores& scores);
/// The same by any numbers of the samples, float64 [B].
std::vector<int64_t> best_and_worst_of_groups(const CombinedReward& reward,
                                              const std::vector<int64_t>& group_B);

/// One head, whose advantages are weights: `values_B` where `used_B`, else 0.
Advantages weights(const at::Tensor& values_B, const at::Tensor& used_B);

/// For methods whose rewards choose or weigh samples, and are not compared within their group.
class OneHead final : public Aggregator {
 public:
  /// Weight 1 for each scored sample.
  Advantages advantages(const Scores& scores, Metrics& metrics) override;
};

}  // namespace thalweg
