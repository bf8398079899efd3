// Rewards that compare the samples of a group, in a rollout: micro-batches cut groups, calls of these rewards
// do not.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "pipelines/stages/micro_batch.h"
#include "rewards/reward_set.h"

namespace thalweg {

/// Keeps what was drawn of a group until it is whole. A group is a call of its own, its samples in the order
/// of the rollout's rows: numbers do not depend on who drew what first.
class GroupScores {
 public:
  /// `rows`: all of the rollout, in order.
  GroupScores(const RewardSet& rewards, const std::vector<SampleRow>& rows);

  /// Takes micro-batch `number`, which has the scores of the other rewards, and scores the groups that are
  /// whole by it: their columns, in whichever micro-batch a sample lies. Samples that are not finite are
  /// compared with none. Returns the micro-batches all of whose groups are scored now. May be called from any
  /// thread.
  std::vector<int64_t> add(int64_t number, std::vector<MicroBatch>& batches, const ScoreInput& input,
                           const at::Tensor& finite_B);

 private:
  struct Part {
    ScoreInput input;              // finite samples of a group
    std::vector<int64_t> samples;  // of the micro-batch
  };
  struct Group {
    int64_t missing = 0;            // rows that were not drawn yet
    std::map<int64_t, Part> parts;  // by micro-batch
  };
  std::vector<Group*> whole_by(int64_t number, const MicroBatch& batch, const ScoreInput& input,
                               const at::Tensor& finite_B);
  void score(const Group& group, std::vector<MicroBatch>& batches);

  const RewardSet& rewards_;
  const at::Tensor columns_;
  std::vector<int64_t> group_of_row_;
  std::mutex mutex_;
  std::map<int64_t, Group> groups_;
  std::map<int64_t, int64_t> open_;  // groups of a micro-batch that are not scored
};

}  // namespace thalweg
