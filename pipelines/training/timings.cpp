#include "pipelines/training/timings.h"

namespace thalweg {

std::vector<PhaseTiming> phase_timings(const PhaseClock& clock, int64_t workers) {
  const auto times = clock.times();
  std::vector<PhaseTiming> timings;
  for (const char* phase : {"rollout", "decode", "reward", "gradient", "monitor", "train"})
    if (const auto it = times.find(phase); it != times.end())
      timings.push_back({phase, it->second.wall / static_cast<double>(workers), it->second.cpu});
  if (const auto it = times.find("optimizer"); it != times.end())
    timings.push_back({"optimizer", it->second.wall, it->second.cpu});
  return timings;
}

PhaseTiming whole_timing(const std::string& phase, const PhaseClock& clock, int64_t workers) {
  PhaseTiming whole{phase};
  for (const auto& [name, time] : clock.times()) {
    whole.wall += time.wall / static_cast<double>(workers);
    whole.cpu += time.cpu;
  }
  return whole;
}

std::vector<PhaseTiming> difference(const std::vector<PhaseTiming>& before,
                                    const std::vector<PhaseTiming>& after) {
  auto grown = after;
  for (auto& now : grown)
    for (const auto& then : before) {
      if (now.phase != then.phase) continue;
      now.wall -= then.wall;
      now.cpu -= then.cpu;
    }
  return grown;
}

}  // namespace thalweg
