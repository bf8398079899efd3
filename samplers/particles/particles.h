// The core of every method with particles: groups of N samples in a row whose log-weights are carried from
// step to step, and resampled, group by group, where too few of them count.
#pragma once

#include "samplers/particles/resample.h"
#include "samplers/sampler.h"

namespace thalweg {

struct ParticleOptions {
  int64_t particles = 4;           // N, for each sample that is asked for
  std::string resampling = "ssp";  // resampling_names()
  double ess_threshold = 0.5;      // resample below this share of N; 1: whenever weights differ, 0: never
  std::string selection = "draw";  // selection_names(): which particles are handed back
};

/// Log-weights, ancestors and log Z of G groups. A value that is NaN was not scored: its particle goes on,
/// and is resampled, with the weight it had, as if that state had not been looked at. Weights stay right as
/// long as a method weighs the next value against the last one that was known, so failures cost accuracy and
/// tilt nothing, even where they depend on the state. In the end a sample without a score has no weight: what
/// is drawn is the tilted law of what can be scored.
class Particles {
 public:
  /// B = G N samples, groups in a row.
  Particles(const SamplerInput& input, const ParticleOptions& options);

  /// Multiplies weights by e^log_factor_B (float64 on the CPU).
  void weigh(const at::Tensor& log_factor_B);

  /// Closes step `step`: resamples where the effective sample size is below the threshold. Returns the row
  /// that each row now comes from, [B] on the CPU; undefined where nothing moved, so that nothing is copied.
  at::Tensor resample(int64_t step);

  /// Weighs the final samples and hands over what became of them. Here a sample that was not scored has
  /// weight 0, unless its whole group has none. log Z is that of the samples with a score, since the others
  /// say nothing of it; NaN for a group that has none. `rewards_B` of the final samples are kept; may be
  /// undefined.
  ParticleRecord finish(const at::Tensor& log_factor_B, const at::Tensor& rewards_B);

 private:
  void close_step();

  ParticleOptions options_;
  uint64_t seed_;
  std::vector<int64_t> slot_B_;
  Resampling resampling_;
  at::Tensor log_weights_GN_, scored_GN_, ancestors_GN_, log_evidence_G_;
  std::vector<at::Tensor> ess_, survivors_, unscored_;
};

/// Rows of x; x itself where `rows` is undefined.
at::Tensor gathered(const at::Tensor& x, const at::Tensor& rows);

}  // namespace thalweg
