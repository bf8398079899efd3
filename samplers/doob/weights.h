// Weights of the candidates of a step.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// All float64 on the CPU.
struct CandidateWeights {
  at::Tensor weights_BM;  // sum 1; 0 for candidates not scored, and for all where none is
  at::Tensor scored_BM;   // bool
  at::Tensor ess_B;       // 1 / sum w^2; M where none is scored
};

/// softmax(r / temperature) over the candidates that are scored; with `normalize` of (r - mean) / std, which
/// is 0 where all rewards are equal.
CandidateWeights candidate_weights(const at::Tensor& reward_BM, double temperature, bool normalize);

}  // namespace thalweg
