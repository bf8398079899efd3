// The perceptron of a transformer block.
#pragma once

#include <string>

#include "engine/models/binder.h"
#include "engine/models/fused.h"

namespace thalweg {

/// down(gelu_tanh(up(x))), as diffusers' FeedForward with "gelu-approximate".
struct FeedForward {
  Linear up, down;

  static FeedForward bind(Binder binder, int64_t width, int64_t hidden) {
    return {binder.linear("net.0.proj", width, hidden, true, Init::xavier_uniform),
            binder.linear("net.2", hidden, width, true, Init::xavier_uniform)};
  }
  at::Tensor operator()(const at::Tensor& x) const { return down(gelu_tanh(up(x))); }
};

}  // namespace thalweg
