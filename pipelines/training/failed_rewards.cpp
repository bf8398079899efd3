#include "pipelines/training/failed_rewards.h"

#include "engine/core/error.h"
#include "pipelines/observer.h"
#include "pipelines/report/format.h"

namespace thalweg {

void describe(Fields& f, FailedRewardsSection& s) {
  f.number({"min_valid_fraction",
            "share of a rollout's or held-out evaluation's samples that each trained reward has to score; 0: "
            "one sample, by any of them"},
           s.min_valid_fraction, 0.0, 1.0);
  f.choice({"policy",
            "where that is not reached: pause keeps what is done and ends the run with exit code 3, to go on "
            "when it is run again; "
            "stop does the same as a failure, with exit code 1; mask goes on with what was scored, and "
            "pauses where nothing was. "
            "Before the first update it is an error"},
           s.policy, {"pause", "stop", "mask"});
}

void FailurePolicy::require(const std::string& phase, const RewardBatch& raw,
                            const std::vector<double>& weights_K) const {
  if (section_.policy == "mask") return;
  for (int64_t k = 0; k < raw.dimensions(); ++k) {
    if (weights_K[static_cast<size_t>(k)] == 0.0) continue;
    const auto scored = raw.valid_BK.select(1, k).sum().item<int64_t>();
    if (static_cast<double>(scored) >= section_.min_valid_fraction * static_cast<double>(raw.batch()))
      continue;
    give_up(raw.names_K[static_cast<size_t>(k)] + " has a value for " + std::to_string(scored) + " of " +
            std::to_string(raw.batch()) + " samples of " + phase +
            ", and /failed_rewards/min_valid_fraction asks for " +
            format_number(section_.min_valid_fraction) + failure_reasons(raw.failures));
  }
}

void FailurePolicy::give_up(const std::string& what) const {
  if (!begun_) throw Error("/rewards", what);
  throw Stopped{what, section_.policy == "stop"};
}

}  // namespace thalweg
