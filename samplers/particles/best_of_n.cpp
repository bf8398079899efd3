#include "samplers/particles/best_of_n.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "samplers/particles/outlook.h"
#include "samplers/particles/step.h"

namespace thalweg {

Trajectory sample_best_of_n(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                            const BestOfNOptions& o) {
  const c10::NoGradGuard no_grad;
  auto x = in.x_BCFHW;
  Step step;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    x = next_latents(x, in.velocity(x, step, in.conditioning), transition_noise(in, x, step), step.kernel);
  }
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  ParticleRecord record;
  record.particles = o.particles;
  const auto batch = static_cast<int64_t>(in.slot_B.size());
  TORCH_CHECK(o.particles > 0 && batch % o.particles == 0, batch, " samples are no groups of ", o.particles);
  record.log_weights_B = at::zeros({batch}, at::kDouble);
  record.ancestors_B = at::arange(o.particles, at::kLong).repeat(batch / o.particles);
  record.rewards_B = final_rewards(reward, x, step, in.conditioning);
  trajectory.particles = std::move(record);
  return trajectory;
}

}  // namespace thalweg
