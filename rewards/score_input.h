// What a reward is asked to score.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

namespace thalweg {

/// What samples are scored for: THALWEG_PHASE_*.
enum class ScorePhase : uint32_t { unknown, rollout, held_out, final, steering, score };

struct ScoreOccasion {
  ScorePhase phase = ScorePhase::unknown;
  int64_t iteration = 0;  // of a training run; in evaluations those that came before; else 0
  int64_t round = 0;      // tells apart samples of the same number in one phase; below 2^24
};

/// Undefined tensors and empty vectors are absent. Tensors may be of any floating type, device and stride;
/// what crosses to a plugin is a dense float32 copy where it takes them.
/// Vectors have one entry a sample or none.
struct ScoreInput {
  at::Tensor frames_BF3HW;     // RGB in [0,1]; an image has F = 1
  at::Tensor latents_BCFHW;    // at noise level sigmas_B
  at::Tensor sigmas_B;         // 1 = noise, 0 = data; needed with latents
  at::Tensor reference_BF3HW;  // in [0,1]: the picture that was given to edit
  at::Tensor mask_BF1HW;       // in [0,1]: 1 = the region to change
  std::vector<std::string> prompts;
  std::vector<uint64_t> sample_ids;        // absent: 0, 1, ...
  std::vector<uint64_t> seeds;             // absent: 0
  std::vector<int64_t> group_ids;          // absent: -1
  std::vector<std::string> metadata_json;  // the prompt's own fields, a JSON object each; absent: "{}"
  int step_index = -1;                     // of the sampling step; -1: the finished sample
  int num_steps = 0;
  double fps = 0;  // of a video
  ScoreOccasion occasion = {};

  /// Appends the id of sample `number`, below 2^36, of this occasion, which no other sample of the run has,
  /// and the seed that goes with it.
  void name_next(uint64_t run_seed, int64_t number) { name_next(run_seed, number, occasion.round); }
  void name_next(uint64_t run_seed, int64_t number, int64_t round);

  /// B, from the first tensor that is there; 0 without any.
  int64_t batch() const;
  /// Samples begin .. end - 1.
  ScoreInput slice(int64_t begin, int64_t end) const;
  /// The samples of these numbers, in this order.
  ScoreInput select(const std::vector<int64_t>& samples) const;
  /// The same with its tensors on the CPU.
  ScoreInput on_host() const;
};

/// The samples of all parts, one part after the other. Parts have the same inputs and occasion; at least one.
ScoreInput concatenate(const std::vector<ScoreInput>& parts);

}  // namespace thalweg
