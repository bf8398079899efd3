// A sampler's steps, differentiated one at a time, last first: the states before them are the checkpoints,
// and no more than one step's graph is ever held. x' = x_scale x + v_scale v(x) + std e, the noise e a
// constant.
#pragma once

#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

/// Walks the steps [0, end) of the schedule with `kernel`. x0_BCFHW is where they end; trained_steps and
/// latents are the steps from `first` on and the states before them (there are no next_latents).
Trajectory walk(const SamplerInput& input, const Kernel& kernel, int64_t first, int64_t end);

/// A part of a sampler's way.
struct Way {
  std::vector<Step> steps;    // with their kernels
  std::vector<at::Tensor> x;  // before each of them, [B,C,F,H,W]
  at::Tensor end;             // behind the last
};
/// What walk() kept, of the samples `slot_B`.
Way way_of(const Trajectory& walked, const Kernel& kernel, const std::vector<int64_t>& slot_B);

/// The step from level `index` to the clean estimate x - t v.
KernelStep landing(const Schedule& schedule, int64_t index);

struct BackwardStep {
  at::Tensor adjoint;   // (d x' / d x)^T a, in the shape of x
  TensorMap gradients;  // (d x' / d p)^T a, by the names of the parameters that the step reaches
  at::Tensor v;         // the velocity at x
};
/// Of one step, for the adjoint a of x'. `parameters`: leaves that `velocity` is a function of. Nothing that
/// is returned is part of a graph. Gradients must be enabled.
BackwardStep backward_step(const Velocity& velocity, const at::Tensor& x, const Step& step,
                           const Conditioning& conditioning, const at::Tensor& adjoint,
                           const TensorMap& parameters = {});

/// Gradients of <way.end, adjoint> through all its steps: those of one graph over the whole way, from its
/// states as they stand.
TensorMap way_gradients(const Velocity& velocity, const Way& way, const Conditioning& conditioning,
                        at::Tensor adjoint, const TensorMap& parameters);

/// The lean adjoint (Domingo-Enrich et al. 2024, arXiv 2409.08861, section 5.2), step by step:
/// a(end) is given, and a <- (d mean / d x)^T a of the base model's steps, whatever drew the states.
struct LeanAdjoint {
  std::vector<at::Tensor> a;  // at way.x, and last at way.end
  std::vector<at::Tensor> v;  // the base model's velocity at way.x
};
LeanAdjoint lean_adjoint(const Velocity& base, const Way& way, const Conditioning& conditioning,
                         const at::Tensor& a_end);

}  // namespace thalweg
