// Orders that depend on nothing but what they are drawn for.
#pragma once

#include <vector>

#include "engine/core/rng.h"

namespace thalweg {

/// 0 to n-1 in an order of (seed, purpose, slot): that of the bits at steps `first` to `first` + n - 1.
std::vector<int64_t> shuffled(uint64_t seed, Purpose purpose, int64_t slot, int64_t first, int64_t n);

}  // namespace thalweg
