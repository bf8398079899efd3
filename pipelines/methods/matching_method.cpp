#include "pipelines/methods/matching_method.h"

namespace thalweg {

void describe(Fields& f, MatchingOptions& o) {
  describe(f, o.groups);
  describe(f, o.advantages);
}

void check_levels(const GroupPlan& groups, const LevelOptions& levels, const TrainingOptions& options) {
  check_groups(groups);
  levels.check(options.sampler.steps);
}

}  // namespace thalweg
