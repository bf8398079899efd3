#include "samplers/particles/fk.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/names.h"
#include "samplers/particles/outlook.h"
#include "samplers/transitions.h"
#include "samplers/window.h"

namespace thalweg {
namespace {

// log G / lambda from the reward of a state and the memory of its lineage, and the memory after it.
struct Scored {
  at::Tensor log_potential_B, memory_B;
};
using Potential = Scored (*)(const at::Tensor& reward_B, const at::Tensor& memory_B);

Scored diff(const at::Tensor& reward_B, const at::Tensor& memory_B) {
  return {reward_B - memory_B, reward_B};
}

Scored max(const at::Tensor& reward_B, const at::Tensor& memory_B) {
  const auto highest = at::maximum(reward_B, memory_B);
  return {highest, highest};
}

Scored add(const at::Tensor& reward_B, const at::Tensor& memory_B) {
  const auto sum = reward_B + memory_B;
  return {sum, sum};
}

Scored rt(const at::Tensor& reward_B, const at::Tensor& memory_B) {
  return {reward_B, memory_B};
}

struct Row {
  const char* name;
  Potential potential;  // nullptr: nothing is scored before the end
  double first_memory;
};
constexpr Row kPotentials[] = {
    {"diff", diff, 0.0}, {"max", max, -INFINITY}, {"add", add, 0.0}, {"rt", rt, 0.0}, {"is", nullptr, 0.0}};

const Row& potential_named(const std::string& name) {
  for (const auto& row : kPotentials)
    if (name == row.name) return row;
  TORCH_CHECK(false, "knows no potential \"", name, "\"");
}

// What a lineage has been weighed by so far.
class Lineage {
 public:
  Lineage(const Row& row, double lambda, int64_t batch)
      : row_(row),
        lambda_(lambda),
        memory_B_(at::full({batch}, row.first_memory, at::kDouble)),
        applied_B_(at::zeros({batch}, at::kDouble)) {}

  // NaN for what was not scored: such a lineage goes on as if this state had not been looked at, and the next
  // potential is of what it remembers.
  at::Tensor log_factor(const at::Tensor& reward_B) {
    const auto scored = row_.potential(reward_B, memory_B_);
    const auto known = reward_B.isfinite();
    memory_B_ = at::where(known, scored.memory_B, memory_B_);
    const auto factor_B = lambda_ * scored.log_potential_B;
    applied_B_ = at::where(known, applied_B_ + factor_B, applied_B_);
    return at::where(known, factor_B, NAN);
  }

  at::Tensor last_log_factor(const at::Tensor& reward_B) const { return lambda_ * reward_B - applied_B_; }

  void follow(const at::Tensor& rows) {
    memory_B_ = gathered(memory_B_, rows);
    applied_B_ = gathered(applied_B_, rows);
  }

 private:
  const Row& row_;
  double lambda_;
  at::Tensor memory_B_, applied_B_;
};

}  // namespace

const std::vector<std::string>& potential_names() {
  static const auto names = names_of(kPotentials);
  return names;
}

Trajectory sample_fk(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                     const FkOptions& o) {
  const c10::NoGradGuard no_grad;
  const auto& row = potential_named(o.potential);
  const auto outlook = outlook_named(o.value);
  const int64_t steps = in.schedule.steps();
  const auto window = StepWindow::of(o.window_begin, o.window_size);
  // A particle alone is weighed in the end only: there is nothing to choose before.
  const auto is_scored = [&](int64_t i) {
    return row.potential && o.particles.particles > 1 && window.contains(i) &&
           (i - o.window_begin) % o.interval == 0;
  };
  Particles particles(in, o.particles);
  Lineage lineage(row, o.lambda, static_cast<int64_t>(in.slot_B.size()));
  auto x = in.x_BCFHW;
  Step step;
  for (int64_t i = 0; i < steps; ++i) {
    step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    at::Tensor v;
    if (is_scored(i)) {
      const auto state = outlook.at_state(in.velocity, reward, x, step, in.conditioning, WithGradient::no);
      particles.weigh(lineage.log_factor(state.value_B));
      v = state.v_BCFHW;
    } else {
      v = in.velocity(x, step, in.conditioning);
    }
    if (const auto rows = particles.resample(i); rows.defined()) {
      lineage.follow(rows);
      x = gathered(x, rows);
      v = gathered(v, rows);
    }
    x = next_latents(x, v, transition_noise(in, x, step), step.kernel);
  }
  const auto reward_B = final_rewards(reward, x, step, in.conditioning);
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  trajectory.particles = particles.finish(lineage.last_log_factor(reward_B), reward_B);
  return trajectory;
}

}  // namespace thalweg
