#include "pipelines/service/jobs/changes.h"

#include <utility>

#include "pipelines/service/http/message.h"

namespace thalweg::service {
namespace {

using Events = Store::Events;

EventRow status(State state, const std::string& message, const Json& error = {}) {
  EventRow event;
  event.level = error.is_null() ? "info" : "error";
  event.type = "status";
  event.message = message;
  event.data = {{"status", name_of(state)}};
  if (!error.is_null()) event.data["error"] = error;
  return event;
}

[[noreturn]] void refuse(const std::string& why) {
  throw ApiError(409, "wrong_state", why);
}

State idle_state(Wish wish) {
  return wish == Wish::cancel ? State::cancelled : wish == Wish::pause ? State::paused : State::queued;
}

}  // namespace

Store::Change begun() {
  return [](JobRow& job, Events& events) {
    job.state = State::running;
    ++job.attempts;
    if (!job.started_at) job.started_at = now();
    events.push_back(status(job.state, job.attempts == 1 ? "the run begins" : "the run goes on"));
  };
}

Store::Change runs_as(int64_t process, std::optional<int64_t> start) {
  return [process, start](JobRow& job, Events&) {
    job.process = process;
    job.process_start = start;
  };
}

Store::Change ended(RunEnd end, int64_t most_faults) {
  return [end = std::move(end), most_faults](JobRow& job, Events& events) {
    auto known = end;
    known.wish = job.wish;
    known.faults_left = most_faults - job.faults - 1;
    const auto ending = ending_of(known);
    job.state = ending.state;
    job.wish = Wish::none;
    job.error = ending.error;
    job.process = job.process_start = std::nullopt;
    if (ending.fault) ++job.faults;
    const auto message = ending.error.is_null() ? "the job is now " + name_of(ending.state)
                                                : ending.error.value("message", "");
    events.push_back(status(ending.state, message, ending.error));
  };
}

Store::Change failed_to_run(const std::string& why, int64_t most_faults) {
  return [why, most_faults](JobRow& job, Events& events) {
    const auto message = "the run could not be begun or told of: " + why;
    if (job.state != State::running) return;
    const auto wish = std::exchange(job.wish, Wish::none);
    const bool given_up = ++job.faults >= most_faults && wish == Wish::none;
    job.state = given_up ? State::failed : idle_state(wish);
    if (given_up) job.error = {{"code", "cannot_run"}, {"message", message}, {"param", nullptr}};
    events.push_back(status(job.state, message, job.error));
  };
}

Store::Change taken_up() {
  return [](JobRow& job, Events& events) {
    job.state = idle_state(std::exchange(job.wish, Wish::none));
    events.push_back(status(job.state, "the service was started anew"));
  };
}

Store::Change wished(Wish wish) {
  return [wish](JobRow& job, Events& events) {
    if (job.state == idle_state(wish)) return;  // asked for twice
    if (is_over(job.state))
      refuse("the job has " + name_of(job.state) + ": there is nothing to " + name_of(wish));
    if (job.state == State::running) {
      if (job.wish == wish || job.wish == Wish::cancel) return;
      job.wish = wish;
      EventRow event;
      event.type = "status";
      event.message = "asked to " + name_of(wish);
      event.data = {{"wish", name_of(wish)}};
      events.push_back(std::move(event));
      return;
    }
    job.state = idle_state(wish);
    job.error = nullptr;
    events.push_back(status(job.state, "the job is now " + name_of(job.state)));
  };
}

Store::Change queued_again() {
  return [](JobRow& job, Events& events) {
    if (job.state == State::queued || (job.state == State::running && job.wish == Wish::none)) return;
    if (job.state == State::running)
      refuse("the job is about to " + name_of(job.wish) + "; ask again once it is paused");
    job.state = State::queued;
    job.error = nullptr;
    events.push_back(status(job.state, "the job is queued again"));
  };
}

}  // namespace thalweg::service
