#include "samplers/schedules/flux.h"

#include <cmath>

#include "samplers/schedules/shifted.h"

namespace thalweg {

double flux_mu(int64_t tokens) {
  return 0.5 + (1.15 - 0.5) * static_cast<double>(tokens - 256) / static_cast<double>(4096 - 256);
}

// e^mu / (e^mu + 1/s - 1) is the shift by e^mu.
Schedule flux_schedule(int64_t steps, int64_t tokens) {
  return shifted_schedule(steps, std::exp(flux_mu(tokens)));
}

}  // namespace thalweg
