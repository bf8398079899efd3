// Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): v_u + w (v_c - v_u), both in one batched
// forward.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

struct CfgOptions {
  double scale = 1.0;
  /// Steps that are guided (Kynkaanniemi et al. 2024, arXiv 2404.07724), by index; size 0: to the end. The
  /// others are conditional alone, in half the forward. Outside of a schedule (index -1) all are guided.
  int64_t interval_begin = 0, interval_size = 0;
  /// phi of Lin et al. 2023 (arXiv 2305.08891, equations 15 and 16), on the velocity as diffusers does: this
  /// share of the result has the deviation of v_c. In [0, 1].
  double rescale = 0.0;
};

/// `unconditional` holds one row (the empty or negative prompt), repeated over the batch. Scale 1 and
/// below, 0 among them, is no guidance, as in diffusers: the velocity untouched, bit for bit.
Guidance cfg(const CfgOptions& options, Conditioning unconditional);

/// In all steps, without rescaling.
Guidance cfg(double scale, Conditioning unconditional);

}  // namespace thalweg
