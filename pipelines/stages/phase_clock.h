// Where the time of a run goes: wall and CPU seconds by phase, summed over all threads.
#pragma once

#include <c10/core/Device.h>

#include <map>
#include <mutex>
#include <string>

namespace thalweg {

class PhaseClock {
 public:
  struct Time {
    double wall = 0.0, cpu = 0.0;
  };

  /// With a GPU a phase ends when the GPU has done what the phase asked of it.
  explicit PhaseClock(c10::Device device = c10::kCPU) : device_(device) {}

  /// Measures the calling thread from construction to destruction, without the scopes inside of it.
  class Scope {
   public:
    Scope(PhaseClock& clock, std::string phase);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    friend class PhaseClock;
    PhaseClock& clock_;
    std::string phase_;
    Time start_, inside_;
    Scope* outer_;
  };

  /// A moment of the calling thread.
  struct Mark {
    Time at;
  };
  Mark mark() const;

  /// Books the calling thread's time since `begin` as `phase`, and not as the scope around: for what begins
  /// and ends in other people's calls. No scope may have opened or closed between.
  void book(const std::string& phase, const Mark& begin);

  std::map<std::string, Time> times() const;

 private:
  void add(const std::string& phase, const Time& time);

  c10::Device device_;
  mutable std::mutex mutex_;
  std::map<std::string, Time> times_;
};

}  // namespace thalweg
