#include "pipelines/stages/phase_clock.h"

#include <utility>

#include "engine/core/clock.h"
#include "engine/core/device.h"

namespace thalweg {
namespace {

PhaseClock::Time now() {
  return {wall_seconds(), thread_seconds()};
}

PhaseClock::Time operator+(const PhaseClock::Time& a, const PhaseClock::Time& b) {
  return {a.wall + b.wall, a.cpu + b.cpu};
}

PhaseClock::Time operator-(const PhaseClock::Time& a, const PhaseClock::Time& b) {
  return {a.wall - b.wall, a.cpu - b.cpu};
}

void wait_for(c10::Device device) {
  try {
    synchronize(device);
  } catch (...) {
    // The GPU failed; the next call that uses it says so where it can be caught.
  }
}

// The innermost scope of this thread.
thread_local PhaseClock::Scope* innermost = nullptr;

}  // namespace

PhaseClock::Scope::Scope(PhaseClock& clock, std::string phase)
    : clock_(clock), phase_(std::move(phase)), start_(now()), outer_(std::exchange(innermost, this)) {}

PhaseClock::Scope::~Scope() {
  wait_for(clock_.device_);
  innermost = outer_;
  const auto spent = now() - start_;
  if (outer_) outer_->inside_ = outer_->inside_ + spent;
  clock_.add(phase_, spent - inside_);
}

PhaseClock::Mark PhaseClock::mark() const {
  wait_for(device_);
  return {now()};
}

void PhaseClock::book(const std::string& phase, const Mark& begin) {
  wait_for(device_);
  const auto spent = now() - begin.at;
  if (innermost) innermost->inside_ = innermost->inside_ + spent;
  add(phase, spent);
}

void PhaseClock::add(const std::string& phase, const Time& time) {
  std::lock_guard lock(mutex_);
  auto& sum = times_[phase];
  sum = sum + time;
}

std::map<std::string, PhaseClock::Time> PhaseClock::times() const {
  std::lock_guard lock(mutex_);
  return times_;
}

}  // namespace thalweg
