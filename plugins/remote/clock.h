// Time as the rest of this folder sees it, so that tests wait for nothing.
#pragma once

#include <chrono>
#include <thread>

namespace remote {

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  /// Seconds of a clock that nobody sets. [any thread]
  virtual double now() const = 0;
  /// Seconds since 1970, UTC. [any thread]
  virtual double date() const = 0;
  virtual void sleep(double seconds) = 0;
};

class SystemClock final : public Clock {
 public:
  double now() const override { return seconds(std::chrono::steady_clock::now()); }
  double date() const override { return seconds(std::chrono::system_clock::now()); }
  void sleep(double seconds) override {
    if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }

 private:
  template <class Point>
  static double seconds(Point point) {
    return std::chrono::duration<double>(point.time_since_epoch()).count();
  }
};

}  // namespace remote
