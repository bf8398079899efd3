// The direct loop: samples are drawn, a differentiable reward is asked for its slope at their clean latents,
// and the slope is followed back through steps of the sampler. What ReFL, DRaFT and Adjoint Matching share.
#pragma once

#include "pipelines/methods/method.h"
#include "pipelines/methods/noise_levels.h"
#include "pipelines/methods/step_loss.h"
#include "samplers/backward.h"

namespace thalweg {

/// Throws Error as require_last_step does, for a last step of less than a tenth of the mean one.
void require_even_end(const Schedule& schedule);

/// "prompts_per_iteration", "updates": no samples are compared, so there is one of each prompt.
GroupPlan one_each(int64_t prompts);

/// Throws Error at /sampler for one that is not made of one-step transitions, each of them a step of the
/// schedule; `name`: of the method.
void require_steps(const SamplerSection& sampler, const std::string& name);

/// The trained rewards at the end of a way: their sum by the job's weights, transformed, and its slope.
struct Slope {
  at::Tensor value_B;      // float64 on the CPU; NaN: not scored
  at::Tensor slope_BCFHW;  // d value / d end; 0 for samples without a usable one
};

/// Ends of a micro-batch's samples that rewards are asked for, and ways there. Masked rows of x are 0.
struct Ends {
  std::vector<Way> ways;
  std::vector<Slope> slopes;  // of each way
};

/// What was drawn, and where its rewards lead.
struct Followed {
  std::vector<MicroBatch> batches;
  std::vector<Ends> ends;  // of each micro-batch
  at::Tensor used_B;       // samples with a reward and a slope at all their ends, bool [B] on the CPU
};

struct Following {
  Velocity velocity;   // draws, guided
  Kernel kernel;       // of every step
  int64_t first, end;  // steps of the way that is differentiated; what follows `end` is not taken
  /// Further ways of a micro-batch, beside its own; without gradients, on the workers; the same number for
  /// each.
  std::function<std::vector<Way>(const MicroBatch&)> further = {};
};

/// Draws, scores and differentiates `plan.groups` samples. What left a sample without a slope is an event of
/// the training, "reward_failed" of the phase "gradient"; throws Error at /rewards when not one has any.
Followed follow(Training& training, int64_t iteration, const GroupPlan& plan, const Following& following,
                Metrics& metrics);

/// Of a share: its ends.
const Ends& ends_of(const Followed& followed, const Share& share);

/// A loss of reward values [B] and its derivative by them, float64 on the CPU.
struct ValueLoss {
  at::Tensor loss_B, derivative_B;
};

/// The iteration's updates: mean over samples and ways of `loss`, through all steps of each way. `velocity`:
/// of the policy's parameters as they are when it is called, guided as it drew.
void train_along(Training& training, const Followed& followed, const GroupPlan& plan,
                 const std::function<ValueLoss(const at::Tensor& value_B)>& loss,
                 const std::function<Velocity()>& velocity, int64_t iteration, Metrics& metrics);

/// Uniform in [0,1), and normal, for an iteration as a whole; `draw`: of several.
double drawn_uniform(const Training& training, int64_t iteration);
double drawn_normal(const Training& training, int64_t iteration, int64_t draw);

}  // namespace thalweg
