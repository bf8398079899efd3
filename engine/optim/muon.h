// Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): momentum whose matrices are orthogonalised by
// a Newton-Schulz iteration. For the 2-D weights inside a transformer; the rest belongs to AdamW.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

struct MuonOptions {
  double momentum = 0.95;
  int64_t newton_schulz_steps = 4;
};

class Muon {
 public:
  explicit Muon(MuonOptions options) : options_(options) {}

  /// One update of the matrices in `gradients`, in place. Same shapes are orthogonalised in one batch.
  void step(TensorMap& parameters, const TensorMap& gradients, double learning_rate);

  /// "momentum/NAME".
  TensorMap state() const;
  void load_state(const TensorMap& state);

 private:
  MuonOptions options_;
  TensorMap momentum_;
};

/// Approximately U V^T of each matrix of g_NRC, by `steps` quintic Newton-Schulz iterations in bfloat16.
at::Tensor orthogonalised(const at::Tensor& g_NRC, int64_t steps);

}  // namespace thalweg
