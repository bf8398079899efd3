// Where the time of a run goes: wall and CPU seconds by phase, summed over all threads.
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace thalweg {

class PhaseClock {
 public:
  struct Time {
    double wall = 0.0, cpu = 0.0;
  };

  /// Measures the calling thread from construction to destruction.
  class Scope {
   public:
    Scope(PhaseClock& clock, std::string phase);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseClock& clock_;
    std::string phase_;
    Time start_;
  };

  std::map<std::string, Time> times() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Time> times_;
};

}  // namespace thalweg
