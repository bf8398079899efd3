#include "bucket.h"

#include <algorithm>

namespace remote {

Bucket::Bucket(const Clock& clock, double per_minute) : clock_(clock), per_minute_(per_minute) {
  filled_at_ = clock.now();
  level_ = std::max(1.0, per_minute / 60.0 * kBurstSeconds);
}

void Bucket::refill() {
  const double now = clock_.now(), per_second = per_minute_ * share_ / 60.0;
  const double most = std::max(1.0, per_second * kBurstSeconds);
  if (level_ < most) level_ = std::min(most, level_ + (now - filled_at_) * per_second);
  filled_at_ = now;
}

std::optional<double> Bucket::take(double amount, double patience) {
  if (per_minute_ <= 0) return 0.0;
  const std::lock_guard lock(mutex_);
  refill();
  // Of a debt, however large: an amount above the burst is paid for by those who come later.
  const double missing = std::max(0.0, std::min(amount, std::max(1.0, per_minute_ * share_ / 6.0)) - level_);
  const double wait = missing / (per_minute_ * share_ / 60.0);
  if (wait > patience) return std::nullopt;
  level_ -= amount;
  return wait;
}

void Bucket::halve() {
  const std::lock_guard lock(mutex_);
  refill();
  share_ = std::max(kLeast, share_ / 2);
}

void Bucket::recover() {
  const std::lock_guard lock(mutex_);
  refill();
  share_ = std::min(1.0, share_ + kStep);
}

double Bucket::rate() const {
  const std::lock_guard lock(mutex_);
  return per_minute_ * share_;
}

}  // namespace remote
