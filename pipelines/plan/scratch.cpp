#include "pipelines/plan/scratch.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "engine/core/json.h"

namespace thalweg {
namespace {

struct Scratch {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("thalweg-plan-" + std::to_string(getpid()));
  Scratch() { std::filesystem::create_directories(path); }
  ~Scratch() {
    std::error_code ec;
    std::filesystem::remove_all(path, ec);
  }
};

}  // namespace

std::vector<PlanPhase> rehearse_in_scratch(int64_t workers,
                                           const std::function<void(const std::string&)>& run) {
  const Scratch scratch;
  const auto start = std::chrono::steady_clock::now();
  const auto cpu_start = std::clock();
  run(scratch.path.string());
  double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
         cpu = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  std::vector<PlanPhase> phases;
  const auto result = parse_json_file(scratch.path / "result.json", size_t{4} << 20);
  for (const auto& [name, time] : result.at("time_phases").items()) {
    phases.push_back({name, time.at("wall_s").get<double>() / static_cast<double>(workers),
                      time.at("cpu_s").get<double>()});
    wall -= phases.back().wall_s;
    cpu -= phases.back().cpu_s;
  }
  phases.insert(phases.begin(), {"load and encode", std::max(wall, 0.0), std::max(cpu, 0.0)});
  return phases;
}

}  // namespace thalweg
