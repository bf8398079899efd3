// What a reward is to its callers, whatever stands behind it: a library in this process, or another process.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rewards/score_input.h"

namespace thalweg {

/// Parts of a ScoreInput.
struct RewardInputs {
  bool frames = false, latents = false, prompts = false;
  bool reference = false, mask = false, metadata = false;
};

/// The inputs that a reward differentiates.
enum class GradientOf { none, frames, latents, both };
constexpr bool includes_frames(GradientOf of) {
  return of == GradientOf::frames || of == GradientOf::both;
}
constexpr bool includes_latents(GradientOf of) {
  return of == GradientOf::latents || of == GradientOf::both;
}

struct RewardInfo {
  std::string name;                       // "scene": in the names of its columns and in what is said of it
  std::vector<std::string> dimensions_K;  // all different
  RewardInputs required, optional;
  GradientOf gradient_of = GradientOf::none;
  bool deterministic = true;        // the same input and seed give the same value
  at::Device inputs_on = at::kCPU;  // where its tensors are best; others are copied there
  int64_t least_of_group = 0;       // above 0: it compares the samples of a group, as many at least
  bool elsewhere = false;           // computed outside of this process: who calls it waits
  bool compares_frames = false;     // of a video: one frame alone says nothing to it
};

/// Whether one of them takes frames, so that latents must be decoded for it.
bool wants_frames(const std::vector<RewardInfo>& rewards);

/// Why one call left samples without a value, or a rule that it broke (samples = 0).
struct CallFailure {
  std::string reason;  // clean UTF-8
  int64_t samples = 0;
  int64_t dimension = -1;  // the column; -1: the whole call
};

struct Scored {
  at::Tensor values_BK;  // float32 on the CPU; NaN where a sample was not scored
  std::vector<CallFailure> failures;
};

/// Of each input that the reward differentiates and that was given; the other is undefined. Float32 on the
/// CPU, in the shape of the input; NaN throughout, in both, for a sample without a gradient.
struct ScoreGradient {
  at::Tensor frames_BF3HW, latents_BCFHW;
  std::vector<CallFailure> failures;
};

/// Calls may come from any thread, at the same time: each implementation guards itself. What goes wrong in a
/// call is in what it returns; nothing is remembered. Throws Error for an input that lacks what the reward
/// requires, or has a wrong shape, and for nothing else.
class Reward {
 public:
  virtual ~Reward() = default;

  virtual const RewardInfo& info() const = 0;
  /// One that compares (info().least_of_group) takes whole groups: see score_groups().
  virtual Scored score(const ScoreInput& input) = 0;

  /// sum over k of cotangent_BK[b,k] d values[b,k] / d input[b], for the inputs of info().gradient_of as if
  /// they were independent. A sample whose cotangents are all 0 has gradient 0. Throws Error where there is
  /// none.
  virtual ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) = 0;
};

}  // namespace thalweg
