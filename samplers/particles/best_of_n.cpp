#include "samplers/particles/best_of_n.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "samplers/particles/outlook.h"
#include "samplers/transitions.h"

namespace thalweg {

Trajectory sample_best_of_n(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                            const BestOfNOptions& o) {
  const c10::NoGradGuard no_grad;
  auto trajectory = sample_transitions(in, kernel);
  const auto& x = trajectory.x0_BCFHW;
  const auto last = step_at(in.schedule, in.schedule.steps() - 1, in.slot_B, x.device());
  ParticleRecord record;
  record.particles = o.particles;
  const auto batch = static_cast<int64_t>(in.slot_B.size());
  TORCH_CHECK(o.particles > 0 && batch % o.particles == 0, batch, " samples are no groups of ", o.particles);
  record.log_weights_B = at::zeros({batch}, at::kDouble);
  record.ancestors_B = at::arange(o.particles, at::kLong).repeat(batch / o.particles);
  record.rewards_B = final_rewards(reward, x, last, in.conditioning);
  trajectory.particles = std::move(record);
  return trajectory;
}

}  // namespace thalweg
