#include "pipelines/plan/machine.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "engine/core/clock.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

// "Name:   123 kB" of a file of such lines; 0 when it is not there.
double kilobytes(const fs::path& path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(field + ":")) continue;
    double value = 0.0;
    std::istringstream(line.substr(field.size() + 1)) >> value;
    return value * 1024.0;
  }
  return 0.0;
}

// A file that holds one number; infinity for "max", for none, and for what cannot be read.
double number_in(const fs::path& path) {
  std::ifstream file(path);
  double value = 0.0;
  return file >> value ? value : std::numeric_limits<double>::infinity();
}

// What version 2's groups from the process's own up to the root still allow.
double control_group_room(const fs::path& root) {
  double room = std::numeric_limits<double>::infinity();
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("0::/")) continue;
    for (fs::path group = line.substr(4);; group = group.parent_path()) {
      const auto folder = root / "sys/fs/cgroup" / group;
      const double limit = number_in(folder / "memory.max"), used = number_in(folder / "memory.current");
      if (std::isfinite(limit) && std::isfinite(used)) room = std::min(room, std::max(limit - used, 0.0));
      if (group.empty()) break;
    }
  }
  const auto old = root / "sys/fs/cgroup/memory";  // version 1
  const double limit = number_in(old / "memory.limit_in_bytes"),
               used = number_in(old / "memory.usage_in_bytes");
  if (std::isfinite(limit) && std::isfinite(used)) room = std::min(room, std::max(limit - used, 0.0));
  return room;
}

}  // namespace

AvailableMemory available_memory(const fs::path& root) {
  const double machine = kilobytes(root / "proc/meminfo", "MemAvailable"), group = control_group_room(root);
  if (group < machine) return {group, "memory limit of the control group"};
  return {machine, "memory of the machine"};
}

AvailableMemory available_gpu_memory() {
  if (!at::globalContext().hasCUDART() || !at::hasCUDA()) return {0.0, "no GPU is here to be asked"};
  const auto [free, total] = at::getDeviceAllocator(at::kCUDA)->getMemoryInfo(0);
  return {static_cast<double>(free), "memory of the GPU"};
}

double process_memory(const std::string& field) {
  return kilobytes("/proc/self/status", field);
}

double matrix_product_rate(at::ScalarType dtype) {
  constexpr int64_t kSide = 768;
  constexpr int kRuns = 4;
  at::set_num_threads(1);
  const auto a = at::ones({kSide, kSide}, dtype), b = at::ones({kSide, kSide}, dtype);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRuns; ++i) {
    // CPU time, as the plan counts it: other processes do not slow it down.
    const double start = process_seconds();
    at::mm(a, b);
    best = std::min(best, process_seconds() - start);
  }
  return 2.0 * kSide * kSide * kSide / best;
}

}  // namespace thalweg
