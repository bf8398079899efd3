// Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): v_u + w (v_c - v_u), both in one batched
// forward.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// `unconditional` holds one row (the empty or negative prompt), repeated over the batch. Scale 1 returns the
/// velocity untouched: the identity, bit for bit.
Guidance cfg(double scale, Conditioning unconditional);

}  // namespace thalweg
