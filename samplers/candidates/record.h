// What is recorded of methods that choose among candidates of each sample, step by step.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

class CandidateRecord {
 public:
  /// A step with candidates: their effective sample size (float64), the share of them that goes on, how many
  /// were not scored (int64).
  void add_choice(at::Tensor ess_B, double survivors, at::Tensor unscored_B);
  /// A step that is the sampler's own.
  void add_own_step(int64_t batch);

  /// Of all steps; samples have equal weights.
  ParticleRecord finished() const;

 private:
  std::vector<at::Tensor> ess_, survivors_, unscored_;
};

}  // namespace thalweg
