// Where the time of a run goes: wall and CPU seconds by phase, summed over all threads.
#pragma once

#include <c10/core/Event.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace thalweg {

class PhaseClock {
 public:
  struct Time {
    double wall = 0.0, cpu = 0.0;
  };

  /// With a GPU the wall time of a phase is that of the GPU's queue, from what the phase asked of it first to
  /// what it asked of it last. The queue is marked, and waited for in times() alone.
  explicit PhaseClock(c10::Device device = c10::kCPU) : device_(device) {}

  /// The phase of the calling thread; empty outside of any.
  static std::string current();

  /// A moment of the calling thread, and of the GPU's queue.
  struct Mark {
    Time at;
    std::shared_ptr<const c10::Event> event;  // none on a CPU, or where the GPU has failed
  };

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
    Mark start_;
    Scope* outer_;
  };

  Mark mark() const;

  /// Books the calling thread's time since `begin` as `phase`, and not as the scope around: for what begins
  /// and ends in other people's calls. No scope may have opened or closed between.
  void book(const std::string& phase, const Mark& begin);

  /// Waits for the GPU where there is one.
  std::map<std::string, Time> times() const;

 private:
  /// Wall seconds of the GPU, not yet known: `sign` times those between two marks.
  struct Pending {
    std::string phase;
    std::shared_ptr<const c10::Event> begin, end;
    double sign;
  };
  void add(const std::string& phase, const Mark& begin, const Mark& end, double sign);

  c10::Device device_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Time> times_;
  mutable std::vector<Pending> pending_;
};

}  // namespace thalweg
