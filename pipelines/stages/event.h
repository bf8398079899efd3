// What happened in a run that its owner may have to act on: a line of events.jsonl each.
#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

struct Event {
  std::string level;    // info, warn or error
  std::string type;     // what happened, as one word: reward_failed, update_skipped
  std::string message;  // for people
  Json data;            // for programs: an object of names and numbers
};

/// A line of events.jsonl, to which the log adds when it was.
inline Json event_row(const Event& event) {
  return {{"level", event.level}, {"type", event.type}, {"message", event.message}, {"data", event.data}};
}

/// Collects the events of one iteration, in the order in which they come; workers may add some too.
class Events {
 public:
  void add(Event event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  std::vector<Event> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace thalweg
