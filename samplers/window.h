// Noise in some steps of a schedule only (Flow-GRPO-Fast: Liu et al. 2025, arXiv 2505.05470; MixGRPO: Li et
// al. 2025, arXiv 2507.21802).
#pragma once

#include "samplers/kernel.h"

namespace thalweg {

/// Steps [begin, end) of a schedule.
struct StepWindow {
  int64_t begin = 0, end = 0;

  bool contains(int64_t index) const { return index >= begin && index < end; }
};

/// `kernel` inside of the window, the ODE outside.
Kernel windowed(Kernel kernel, StepWindow window);

}  // namespace thalweg
