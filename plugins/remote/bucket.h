// Token bucket: so many a minute, ten seconds' worth at once. A server that answers 429 halves the rate, each
// answer after that gives a little of it back.
#pragma once

#include <mutex>
#include <optional>

#include "clock.h"

namespace remote {

class Bucket {
 public:
  /// `per_minute` = 0: no limit.
  Bucket(const Clock& clock, double per_minute);

  /// Takes `amount` and returns the seconds to wait before it may be used; none, and nothing taken, where
  /// that is longer than `patience`. Those who come later wait behind. [any thread]
  std::optional<double> take(double amount, double patience);

  void halve();
  void recover();
  /// A minute, as it is now.
  double rate() const;

 private:
  static constexpr double kBurstSeconds = 10.0, kLeast = 1.0 / 64, kStep = 1.0 / 32;

  void refill();

  const Clock& clock_;
  const double per_minute_;
  mutable std::mutex mutex_;
  double share_ = 1.0;  // of per_minute
  double level_ = 0;    // below 0: promised to those who wait
  double filled_at_ = 0;
};

}  // namespace remote
