// Arithmetic of noise levels, for schedules of models and of samplers.
#pragma once

namespace thalweg {

/// k s / (1 + (k-1) s) for k = `shift` > 0 (Esser et al. 2024, arXiv 2403.03206, equation 23): the level s in
/// [0,1] moved towards noise (k > 1) or data (k < 1).
inline double shifted(double sigma, double shift) {
  return shift * sigma / (1.0 + (shift - 1.0) * sigma);
}

}  // namespace thalweg
