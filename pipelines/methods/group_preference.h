// The weights of DGPO's loss (engine/losses/group_preference.h) for a role that learns on noised samples:
// what its groups' preference and two guards make of advantages, before each update.
#pragma once

#include "pipelines/methods/matching.h"

namespace thalweg {

struct PreferenceOptions {
  double beta = 100.0, clip_range = 1e-3, base_limit = 0.05;
  std::string reference = "base";  // or "average"
};
/// "beta", "reference", "clip_range", "base_limit".
void describe(Fields& fields, PreferenceOptions& options);

class GroupPreference {
 public:
  /// `average`: of `role`. Both must outlive it.
  GroupPreference(const PreferenceOptions& options, const Role& role, const Role& average, Velocity base);

  /// Advantages become w A [times,B], or 0 where a guard says so: a Matching's `prepare`, of a loss that is
  /// the matching error by its weight.
  void weigh(const UpdateNoisings& all, std::vector<Head>& heads, Metrics& told) const;

 private:
  const PreferenceOptions o_;
  const Role &role_, &average_;
  const Velocity base_;
};

}  // namespace thalweg
