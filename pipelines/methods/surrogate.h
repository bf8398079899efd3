// The surrogate of TDM-R1 (arXiv 2603.07700): a role that learns what the rewards say of the generator's
// trajectories as a density of its own, so that its clean estimates lead where a reward has no gradient.
#pragma once

#include "pipelines/methods/few_step.h"
#include "pipelines/methods/group_preference.h"
#include "pipelines/methods/lag.h"
#include "pipelines/methods/teacher.h"

namespace thalweg {

struct SurrogateOptions {
  std::string loss = "group";  // or "contrast"
  PreferenceOptions preference{.beta = 10.0};
  std::string states = "all";  // or "final"
  double contrast_beta = 1.0;
  int64_t updates = 1;
  double minimum = 0.25, kl_beta = 1e-3, excess_above = 0.06, excess_beta = 0.0;
  Lag average{.maximum = 0.3};
  OptimizerSection optimizer = {};
};
void describe(Fields& fields, SurrogateOptions& options);

class Surrogate {
 public:
  /// Adds the roles "surrogate" and "surrogate_average", which start as the teacher. `clip`: of advantages.
  Surrogate(const SurrogateOptions& options, const TauOptions& tau, const Teacher& teacher, double clip,
            Training& training);

  Velocity velocity() const { return role_.velocity(); }
  /// All updates of it in an iteration.
  void learn(Walks& walks, const GroupPlan& plan, const Advantages& advantages, Aggregator& aggregator,
             int64_t iteration, Metrics& metrics);

 private:
  Matching matching(int64_t updates_before);
  at::Tensor steps_TB(const std::vector<int64_t>& slot_B) const;
  at::Tensor sigmas_TB(const std::vector<int64_t>& slot_B) const;
  StepLoss loss(const Noising& noising) const;
  void follow();

  const SurrogateOptions o_;
  const TauOptions tau_;
  const double clip_;
  Training& t_;
  Role &role_, &average_;
  const Velocity base_;
  const GroupPreference preference_;
};

}  // namespace thalweg
