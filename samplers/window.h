// Noise in some steps of a schedule only (Flow-GRPO-Fast: Liu et al. 2025, arXiv 2505.05470; MixGRPO: Li et
// al. 2025, arXiv 2507.21802), and where that window lies in an iteration of training.
#pragma once

#include <limits>

#include "samplers/kernel.h"

namespace thalweg {

/// Steps [begin, end) of a schedule, by index.
struct StepWindow {
  int64_t begin = 0, end = 0;

  /// `size` steps from `begin`; size 0: to the end, whatever the schedule.
  static StepWindow of(int64_t begin, int64_t size) {
    return {begin, size == 0 ? std::numeric_limits<int64_t>::max() : begin + size};
  }
  bool contains(int64_t index) const { return index >= begin && index < end; }
};

/// `kernel` inside of the window, the ODE outside.
Kernel windowed(Kernel kernel, StepWindow window);

/// How a window moves from iteration to iteration, always whole: after the last place it begins anew at
/// `first` (MixGRPO's own code lets it shrink to nothing there).
struct WindowPath {
  int64_t first = 0, size = 0, steps = 0;  // it lies in steps [first, steps); size > 0, first + size <= steps
  int64_t stay = 25;                       // iterations at one place
  int64_t stride = 1;                      // from one place to the next
  double decay = 0.0;  // iterations at begin t are stay e^{-decay max(t - decay_from, 0)}, one at least
  int64_t decay_from = 13;
};

/// MixGRPO's progressive window; with a decay, its exponentially decaying one.
StepWindow progressive_window(const WindowPath& path, int64_t iteration);

/// Begins anywhere from `first` on, drawn for each iteration.
StepWindow random_window(const WindowPath& path, uint64_t seed, int64_t iteration);

}  // namespace thalweg
