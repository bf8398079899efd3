// Methods that are the clean-latent loop: what they say of themselves, and the keys of those that learn from
// the advantages of groups.
#pragma once

#include "pipelines/methods/matching.h"
#include "pipelines/methods/method.h"

namespace thalweg {

/// A method that fits velocities at noised clean latents; see MethodOf.
template <typename Derived, typename Run, typename Options>
class MatchingOf : public MethodOf<Derived, Run, Options> {
 public:
  bool denoises() const override { return true; }
};

struct MatchingOptions {
  GroupPlan groups{16, 12, 1};
  AdvantageOptions advantages;
};
/// Those of the groups and of the advantages.
void describe(Fields& fields, MatchingOptions& options);

/// Throws Error as check_groups and LevelOptions::check do.
void check_levels(const GroupPlan& groups, const LevelOptions& levels, const TrainingOptions& options);

}  // namespace thalweg
