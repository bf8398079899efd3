// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), decoupled decay, bias-corrected.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-4;
};

/// Moments by parameter name, in the parameter's dtype (float32, float64), and its count of steps in float32:
/// ATen's CUDA kernel reads it so whatever it is. Parameters are leaves, updated in place.
class AdamW {
 public:
  explicit AdamW(AdamWOptions options) : options_(options) {}

  /// One update of those `parameters` that have a gradient of the same name.
  void step(TensorMap& parameters, const TensorMap& gradients, double learning_rate);

  /// "exp_avg/NAME", "exp_avg_sq/NAME" and "step/NAME": everything a resumed run needs.
  TensorMap state() const;
  void load_state(const TensorMap& state);

 private:
  struct Moments {
    at::Tensor exp_avg, exp_avg_sq, step;
  };
  AdamWOptions options_;
  std::map<std::string, Moments> moments_;
};

}  // namespace thalweg
