#include "pipelines/stages/phase_clock.h"

#include <ctime>
#include <utility>

#include "engine/core/device.h"

namespace thalweg {
namespace {

double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The innermost scope of this thread.
thread_local PhaseClock::Scope* innermost = nullptr;

}  // namespace

PhaseClock::Scope::Scope(PhaseClock& clock, std::string phase)
    : clock_(clock),
      phase_(std::move(phase)),
      start_{seconds(CLOCK_MONOTONIC), seconds(CLOCK_THREAD_CPUTIME_ID)},
      outer_(std::exchange(innermost, this)) {}

PhaseClock::Scope::~Scope() {
  try {
    synchronize(clock_.device_);
  } catch (...) {
    // The GPU failed; the next call that uses it says so where it can be caught.
  }
  const double wall = seconds(CLOCK_MONOTONIC) - start_.wall;
  const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - start_.cpu;
  innermost = outer_;
  if (outer_) {
    outer_->inside_.wall += wall;
    outer_->inside_.cpu += cpu;
  }
  std::lock_guard lock(clock_.mutex_);
  auto& time = clock_.times_[phase_];
  time.wall += wall - inside_.wall;
  time.cpu += cpu - inside_.cpu;
}

std::map<std::string, PhaseClock::Time> PhaseClock::times() const {
  std::lock_guard lock(mutex_);
  return times_;
}

}  // namespace thalweg
