// What methods that put guidance into a network say of how far they are.
#pragma once

#include "pipelines/training/metrics.h"

namespace thalweg {

/// Adds "distilled", 1 - policy_loss / guidance_size: the share of guidance that the network has; 0 without
/// any.
void say_distilled(Metrics& metrics);

}  // namespace thalweg
