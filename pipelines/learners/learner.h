// A learner of the `train_reward` job: its own options, what must hold of the job, and its iterations. One
// file a learner, and its row in the table (pipelines/builtin.cpp). Nothing else knows its name.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/core/chosen.h"
#include "pipelines/report/report.h"
#include "pipelines/training/run.h"

namespace thalweg {

struct TrainRewardOptions;
class RewardTraining;

/// A learner at work.
class LearnerRun : public Trainee {
 public:
  /// What is learned, as it is after the best evaluation: measured on the prompts of /prompts/eval and
  /// written below `folder`. Returns its part of result.json.
  virtual Json finish(const std::filesystem::path& folder, const TensorMap& best) = 0;
  /// Of that result and the rows of metrics.jsonl: charts and tables of the report.
  virtual void report(const Json& result, const std::vector<Json>& rows, Report& report) const = 0;
};

class Learner {
 public:
  virtual ~Learner() = default;
  virtual std::unique_ptr<Learner> clone() const = 0;  // see Cloneable
  virtual void describe(Fields& fields) = 0;
  /// What must hold of the whole job; cheap. Throws Error.
  virtual void check(const TrainRewardOptions& options) const = 0;
  /// `training` must outlive the run.
  virtual std::unique_ptr<LearnerRun> start(RewardTraining& training) const = 0;
};

/// Learners by name (pipelines/builtin.cpp).
const Chosen<Learner>::Table& learner_table();

}  // namespace thalweg
