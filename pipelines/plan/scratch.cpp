#include "pipelines/plan/scratch.h"

#include <algorithm>

#include "engine/core/clock.h"

namespace thalweg {

std::vector<PlanPhase> rehearse_in_scratch(int64_t workers,
                                           const std::function<Json(const std::string&)>& run) {
  const ScratchFolder scratch("thalweg-plan");
  const double start = wall_seconds(), cpu_start = process_seconds();
  const auto result = run(scratch.path().string());
  double wall = wall_seconds() - start, cpu = process_seconds() - cpu_start;
  std::vector<PlanPhase> phases;
  for (const auto& [name, time] : result.at("time_phases").items()) {
    phases.push_back({name, time.at("wall_s").get<double>() / static_cast<double>(workers),
                      time.at("cpu_s").get<double>()});
    wall -= phases.back().wall_s;
    cpu -= phases.back().cpu_s;
  }
  phases.insert(phases.begin(), {kLoadAndEncode, std::max(wall, 0.0), std::max(cpu, 0.0)});
  return phases;
}

}  // namespace thalweg
