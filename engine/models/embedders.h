// How a transformer is told numbers: a wave of the number, then a perceptron.
#pragma once

#include "engine/models/binder.h"

namespace thalweg {

/// cos and sin of t e^{-ln(10000) i / half}, i < half = width / 2: [B, width], cosines first, float32.
at::Tensor timestep_wave(const at::Tensor& timestep_B, int64_t width = 256);

/// linear_2(silu(linear_1(x))), as diffusers' TimestepEmbedding and PixArtAlphaTextProjection.
struct Embedder {
  Linear linear_1, linear_2;

  static Embedder bind(Binder binder, int64_t in, int64_t width);
  at::Tensor operator()(const at::Tensor& x) const;
};

}  // namespace thalweg
