#include "pipelines/stages/phase_clock.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

#include "engine/core/clock.h"

namespace thalweg {
namespace {

// The innermost scope of this thread.
thread_local PhaseClock::Scope* innermost = nullptr;

std::shared_ptr<const c10::Event> marked_queue(c10::Device device) {
  if (device.is_cpu()) return nullptr;
  try {
    auto event = std::make_shared<c10::Event>(device.type(), c10::EventFlag::BACKEND_DEFAULT);  // with a time
    event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
    return event;
  } catch (...) {
    return nullptr;  // the GPU failed; the next call that uses it says so where it can be caught
  }
}

}  // namespace

PhaseClock::Scope::Scope(PhaseClock& clock, std::string phase)
    : clock_(clock), phase_(std::move(phase)), start_(clock.mark()), outer_(std::exchange(innermost, this)) {}

PhaseClock::Scope::~Scope() {
  innermost = outer_;
  clock_.book(phase_, start_);
}

std::string PhaseClock::current() {
  return innermost ? innermost->phase_ : "";
}

PhaseClock::Mark PhaseClock::mark() const {
  return {{wall_seconds(), thread_seconds()}, marked_queue(device_)};
}

void PhaseClock::book(const std::string& phase, const Mark& begin) {
  const auto end = mark();
  add(phase, begin, end, 1.0);
  if (innermost) innermost->clock_.add(innermost->phase_, begin, end, -1.0);
}

void PhaseClock::add(const std::string& phase, const Mark& begin, const Mark& end, double sign) {
  const std::lock_guard lock(mutex_);
  auto& sum = times_[phase];
  sum.cpu += sign * (end.at.cpu - begin.at.cpu);
  if (begin.event && end.event)
    pending_.push_back({phase, begin.event, end.event, sign});
  else
    sum.wall += sign * (end.at.wall - begin.at.wall);
}

std::map<std::string, PhaseClock::Time> PhaseClock::times() const {
  const std::lock_guard lock(mutex_);
  for (const auto& [phase, begin, end, sign] : std::exchange(pending_, {})) {
    end->synchronize();
    times_[phase].wall += sign * begin->elapsedTime(*end) * 1e-3;
  }
  return times_;
}

}  // namespace thalweg
