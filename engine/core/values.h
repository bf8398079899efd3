// The core values (shape suffixes: B samples, G group, T steps, F frames, C channels, H, W, L tokens,
// K rewards). An image is a video with F = 1.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace thalweg {

/// Tensors by their name in the diffusers state dict.
using TensorMap = std::map<std::string, at::Tensor>;

/// Noise levels of a solver, T+1 values falling from 1 (noise) to 0 (data):
/// x_s = (1-s) x_0 + s e, and the network predicts v = e - x_0.
struct Schedule {
  std::vector<double> sigmas;

  int64_t steps() const { return static_cast<int64_t>(sigmas.size()) - 1; }
};

/// What the network is conditioned on: tensors with first dimension B, named and owned by the model family.
struct Conditioning {
  std::vector<std::string> prompts;
  TensorMap tensors;
  std::vector<std::string> metadata_json = {};  // the prompts' own fields, for rewards; empty: none have any

  int64_t batch() const { return static_cast<int64_t>(prompts.size()); }
  Conditioning slice(int64_t begin, int64_t end) const;
  Conditioning select(const std::vector<int64_t>& rows) const;
  /// The first row `batch` times, without copying it.
  Conditioning repeated(int64_t batch) const;
};

/// Rows of `a`, then rows of `b`. Metadata stays only where both have it.
Conditioning concatenate(const Conditioning& a, const Conditioning& b);

/// One transition, x' ~ N(x_scale x + v_scale v, std^2 I): every one-step kernel is of this form.
struct KernelStep {
  double x_scale = 1.0, v_scale = 0.0, std = 0.0;
};

/// Where a velocity is asked for. sigma_B and next_sigma_B are float64, on the latents' device.
struct Step {
  at::Tensor sigma_B;
  at::Tensor next_sigma_B;
  int64_t index = 0;            // of the schedule; -1 outside of one (training at random sigma)
  std::vector<int64_t> slot_B;  // identity of each sample for its noise stream
  KernelStep kernel = {};       // what the sampler does with the velocity, for guidance that depends on it
};

/// v = e - x_0 at x_BCFHW. Same shape as x, float32 (float64 for analytic models).
using Velocity = std::function<at::Tensor(const at::Tensor& x_BCFHW, const Step&, const Conditioning&)>;

/// Guidance wraps a velocity: CFG, reward gradients, Doob and value guidance all have this type.
using Guidance = std::function<Velocity(Velocity)>;

/// Rewards of x_BCFHW at noise level step.sigma_B (0: clean latents), float64 [B] on the CPU; NaN: not
/// scored. Where x asks for gradients and the reward has them, so does the result.
using RewardValue = std::function<at::Tensor(const at::Tensor& x_BCFHW, const Step&, const Conditioning&)>;

/// What steering leaves beside the latents: G groups of `particles` samples in a row (B = G * particles).
/// Rows T: the steps, then for particles the final samples.
struct ParticleRecord {
  int64_t particles = 1;
  at::Tensor log_weights_B;     // float64 on the CPU, up to a constant of the group; equal: fair samples
  at::Tensor ancestors_B;       // int64: which of its group's first particles each one comes from
  at::Tensor ess_TG;            // float64: effective sample size of each step, of particles or of candidates
  at::Tensor survivors_TG;      // float64: share of particles or candidates that had offspring; 1: all kept
  at::Tensor log_evidence_G;    // estimate of log E e^{lambda r}; undefined where a method has none
  at::Tensor unscored_TG = {};  // int64: particles or candidates that the reward did not score
  at::Tensor rewards_B = {};    // float64: of x0, NaN: not scored; undefined where a method did not ask
};

/// A rollout. Stored latents are those of the trained steps and their successors only:
/// next_latents[k] is the state that step trained_steps[k] drew from latents[k].
struct Trajectory {
  Schedule schedule;
  at::Tensor x0_BCFHW;                   // clean latents, as the solver left them
  std::vector<int64_t> trained_steps;    // ascending step indices, enumerated, never compared as floats
  std::vector<at::Tensor> latents;       // per trained step, [B,C,F,H,W]
  std::vector<at::Tensor> next_latents;  // per trained step, [B,C,F,H,W]
  at::Tensor log_probs_TB;               // per trained step; mean over latent elements (decision 0001)
  std::optional<ParticleRecord> particles = {};
};

}  // namespace thalweg
