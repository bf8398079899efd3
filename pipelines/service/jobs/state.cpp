#include "pipelines/service/jobs/state.h"

#include <array>
#include <utility>

#include "engine/core/error.h"

namespace thalweg::service {
namespace {

constexpr std::array kStates{
    std::pair{State::queued, "queued"}, std::pair{State::running, "running"},
    std::pair{State::paused, "paused"}, std::pair{State::succeeded, "succeeded"},
    std::pair{State::failed, "failed"}, std::pair{State::cancelled, "cancelled"},
};
constexpr std::array kWishes{std::pair{Wish::none, ""}, std::pair{Wish::pause, "pause"},
                             std::pair{Wish::cancel, "cancel"}};
constexpr std::array kLanes{std::pair{Lane::batch, "batch"}, std::pair{Lane::interactive, "interactive"}};

template <typename Table, typename Value>
std::string name_in(const Table& table, Value value) {
  for (const auto& [known, name] : table)
    if (known == value) return name;
  return "";
}

template <typename Table>
auto value_in(const Table& table, const std::string& name, const char* what) {
  for (const auto& [value, known] : table)
    if (name == known) return value;
  throw Error("", "\"" + name + "\" is no " + what);
}

}  // namespace

std::string name_of(State state) {
  return name_in(kStates, state);
}

std::string name_of(Wish wish) {
  return name_in(kWishes, wish);
}

std::string name_of(Lane lane) {
  return name_in(kLanes, lane);
}

State state_of(const std::string& name) {
  return value_in(kStates, name, "state of a job");
}

Wish wish_of(const std::string& name) {
  return value_in(kWishes, name, "wish");
}

Lane lane_of(const std::string& name) {
  return value_in(kLanes, name, "lane");
}

bool is_over(State state) {
  return state == State::succeeded || state == State::failed || state == State::cancelled;
}

bool may_follow(State from, State to) {
  switch (from) {
    case State::queued:
      return to == State::running || to == State::paused || to == State::cancelled;
    case State::running:  // queued: its machine or the service stopped
      return to != State::running;
    case State::paused:
      return to == State::queued || to == State::cancelled;
    case State::succeeded:
    case State::failed:
    case State::cancelled:
      return false;
  }
  return false;
}

}  // namespace thalweg::service
