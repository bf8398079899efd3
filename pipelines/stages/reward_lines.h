// What rewards write to the program's log: shown, and kept as events of the run.
#pragma once

#include <memory>
#include <vector>

#include "pipelines/observer.h"
#include "pipelines/stages/event.h"
#include "rewards/activation.h"

namespace thalweg {

/// Of each reward the same line counts once, and of different ones 64; that others are left out is said once.
/// Lines below THALWEG_LOG_INFO are for the plugin's author alone.
class RewardLines {
 public:
  static constexpr const char* kType = "reward_log";

  /// `observer` must outlive it.
  explicit RewardLines(const Observer& observer);
  ~RewardLines();

  /// To be handed to rewards; may outlive this object, and be called on any thread. What comes on the thread
  /// that made this object is shown at once; the rest waits for show().
  RewardLog log();

  /// Tells the observer what other threads have left. Not while it is told something else.
  void show();
  /// The same, and an event of type kType for each line since the last call.
  std::vector<Event> take();

  /// Lines that the run has on record already, as rows of events.jsonl: said again, they are no new events.
  void forget(const std::vector<Json>& event_rows);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace thalweg
