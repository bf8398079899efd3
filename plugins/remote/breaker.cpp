#include "breaker.h"

#include <algorithm>

namespace remote {

Breaker::Pass Breaker::enter() {
  const std::lock_guard lock(mutex_);
  if (!open_) return Pass::normal;
  if (probing_ || clock_.now() < open_until_) return Pass::refused;
  probing_ = true;
  return Pass::probe;
}

void Breaker::cancel(Pass pass) {
  const std::lock_guard lock(mutex_);
  if (pass == Pass::probe) probing_ = false;
}

void Breaker::leave(Pass pass, bool success) {
  const std::lock_guard lock(mutex_);
  if (pass == Pass::probe) {
    probing_ = false;
    if (!success) return open();
    open_ = false;
    window_.clear();
    failures_in_a_row_ = 0;
    return;
  }
  if (open_) return;  // was under way when it opened
  failures_in_a_row_ = success ? 0 : failures_in_a_row_ + 1;
  window_.push_back(!success);
  if (window_.size() > kWindow) window_.pop_front();
  const auto failed = std::count(window_.begin(), window_.end(), true);
  if (failures_in_a_row_ >= kConsecutive || (window_.size() == kWindow && 2 * failed > kWindow)) open();
}

void Breaker::open() {
  open_ = true;
  open_until_ = clock_.now() + kOpenSeconds;
}

}  // namespace remote
