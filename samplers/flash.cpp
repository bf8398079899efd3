#include "samplers/flash.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "samplers/dpm_solver.h"

namespace thalweg {

Schedule with_shorter_tail(const Schedule& schedule, int64_t begin, double ratio) {
  const auto left = schedule.steps() - begin;
  if (left <= 0) return schedule;
  const auto count = std::max<int64_t>(1, std::llround(ratio * static_cast<double>(left)));
  Schedule shorter;
  shorter.sigmas.assign(schedule.sigmas.begin(), schedule.sigmas.begin() + begin + 1);
  for (int64_t m = 1; m <= count; ++m) {
    const double at = static_cast<double>(begin) + static_cast<double>(m * left) / static_cast<double>(count);
    const auto below = std::min(static_cast<int64_t>(at), schedule.steps() - 1);
    const double share = at - static_cast<double>(below);
    const auto i = static_cast<size_t>(below);
    shorter.sigmas.push_back((1.0 - share) * schedule.sigmas[i] + share * schedule.sigmas[i + 1]);
  }
  return shorter;
}

Trajectory sample_with_shorter_tail(const SamplerInput& in, const Kernel& kernel, int64_t begin, double ratio,
                                    const std::vector<int64_t>& trained_steps, LogProb form) {
  TORCH_CHECK(begin > 0, "a tail follows other steps");
  const auto end = std::min(begin, in.schedule.steps());
  auto head = in;
  head.schedule.sigmas.resize(static_cast<size_t>(end) + 1);
  auto trajectory = sample_transitions(head, kernel, trained_steps, form);
  auto tail = in;
  tail.schedule = with_shorter_tail(in.schedule, end, ratio);
  trajectory.x0_BCFHW = dpmpp_2m_from(tail, trajectory.x0_BCFHW, end);
  trajectory.schedule = in.schedule;
  return trajectory;
}

}  // namespace thalweg
