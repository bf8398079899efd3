#include "samplers/window.h"

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

int64_t last_begin(const WindowPath& path) {
  return path.steps - path.size;
}

StepWindow at(const WindowPath& path, int64_t begin) {
  return {begin, begin + path.size};
}

int64_t stay_at(const WindowPath& path, int64_t begin) {
  const auto late = static_cast<double>(std::max<int64_t>(begin - path.decay_from, 0));
  return std::max<int64_t>(1, std::llround(static_cast<double>(path.stay) * std::exp(-path.decay * late)));
}

}  // namespace

Kernel windowed(Kernel kernel, StepWindow window) {
  return [kernel = std::move(kernel), window](const Schedule& schedule, int64_t index) {
    return window.contains(index) ? kernel(schedule, index) : euler(schedule, index);
  };
}

StepWindow progressive_window(const WindowPath& path, int64_t iteration) {
  int64_t round = 0;
  for (int64_t begin = path.first; begin <= last_begin(path); begin += path.stride)
    round += stay_at(path, begin);
  int64_t left = iteration % round, begin = path.first;
  for (; left >= stay_at(path, begin); begin += path.stride) left -= stay_at(path, begin);
  return at(path, begin);
}

StepWindow random_window(const WindowPath& path, uint64_t seed, int64_t iteration) {
  const auto places = static_cast<uint64_t>(last_begin(path) - path.first + 1);
  const auto bits = random_bits(seed, Purpose::window, 0, static_cast<uint64_t>(iteration));
  return at(path, path.first + static_cast<int64_t>(bits % places));
}

}  // namespace thalweg
