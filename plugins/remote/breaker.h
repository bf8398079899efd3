// Circuit breaker: a server that fails is left alone for a while, then tried with one request.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

#include "clock.h"

namespace remote {

class Breaker {
 public:
  static constexpr int kConsecutive = 10;       // failures in a row that open it
  static constexpr int kWindow = 50;            // or more than half of this many
  static constexpr double kOpenSeconds = 30.0;  // then one request goes through, and its end decides

  explicit Breaker(const Clock& clock) : clock_(clock) {}

  enum class Pass { refused, normal, probe };

  /// Whether a request may be sent now; one that is not refused is followed by one of the two below. [any
  /// thread]
  Pass enter();
  void leave(Pass pass, bool success);
  /// It was not sent after all.
  void cancel(Pass pass);

 private:
  void open();

  const Clock& clock_;
  std::mutex mutex_;
  std::deque<bool> window_;  // of the last requests, whether each failed
  int failures_in_a_row_ = 0;
  bool open_ = false, probing_ = false;
  double open_until_ = 0;
};

}  // namespace remote
