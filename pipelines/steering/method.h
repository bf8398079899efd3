// One way to lead samples to rewards, as a job picks it: its keys, what it needs, what it makes. A method is
// one file of this folder; the numerics are functions in samplers/.
#pragma once

#include <memory>
#include <string>

#include "engine/core/fields.h"
#include "samplers/guidance/trace.h"
#include "samplers/kernel.h"
#include "samplers/sampler.h"
#include "samplers/window.h"

namespace thalweg {

/// What a method asks of the job beside rewards.
struct SteeringNeeds {
  bool reward_gradient = false;                // of every reward that it follows
  bool noisy_latents = false;                  // rewards that score latents at a noise level
  bool kernel = false;                         // a sampler that steps by a kernel
  bool noise = false;                          // and that draws noise
  bool marginals = false;                      // and keeps the marginals of the ODE
  bool deterministic = false;                  // a sampler that steps by a kernel and draws no noise
  StepWindow noise_in = StepWindow::of(0, 0);  // `noise`: in one of these steps at least
};

/// A method is guidance (a change of the velocity, below) or a way of sampling (SamplingMethod).
class SteeringMethod {
 public:
  virtual ~SteeringMethod() = default;
  virtual std::unique_ptr<SteeringMethod> clone() const = 0;

  virtual void describe(Fields& fields) = 0;
  /// What bounds do not say, for a sampler of `steps` steps. Throws Error below `pointer`.
  virtual void check(int64_t steps, const std::string& pointer) const = 0;
  virtual SteeringNeeds needs() const = 0;
  /// Whether its options lead the samples anywhere; else no reward is asked.
  virtual bool steers() const { return true; }
  /// Whether all that it does in a step is a change of the velocity, which it tells (sample_told): then a
  /// network can learn it.
  virtual bool leads_by_velocity() const { return !samples(); }

  /// The change of the velocity that leads to `reward` in the steps of `schedule`; by default none.
  virtual Guidance guidance(const RewardValue& reward, const Schedule& schedule, uint64_t seed) const;

  /// Whether the method draws the samples itself, by sample(); one of a job at most.
  virtual bool samples() const { return false; }
  virtual Trajectory sample(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward) const;
  /// The same, telling `led` of every change of the velocity; those without have nothing to tell.
  virtual Trajectory sample_told(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                                 const GuidanceSink& led) const;
  /// Samples that sample() draws together for one that is asked for: rows of its input.
  virtual int64_t particles() const { return 1; }
};

class SamplingMethod : public SteeringMethod {
 public:
  bool samples() const final { return true; }
  Trajectory sample(const SamplerInput& input, const Kernel& kernel,
                    const RewardValue& reward) const override = 0;
};

}  // namespace thalweg
