// What may follow what, and what a run's end means: tables, whole.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

#include "engine/core/error.h"
#include "pipelines/service/http/message.h"
#include "pipelines/service/jobs/changes.h"
#include "pipelines/service/jobs/ending.h"
#include "pipelines/service/jobs/state.h"

namespace thalweg::service {
namespace {

constexpr State kStates[] = {State::queued,    State::running, State::paused,
                             State::succeeded, State::failed,  State::cancelled};

TEST(State, WhatMayFollowWhat) {
  const std::set<std::pair<State, State>> allowed{
      {State::queued, State::running},   {State::queued, State::paused},
      {State::queued, State::cancelled}, {State::running, State::queued},
      {State::running, State::paused},   {State::running, State::succeeded},
      {State::running, State::failed},   {State::running, State::cancelled},
      {State::paused, State::queued},    {State::paused, State::cancelled},
  };
  for (const auto from : kStates)
    for (const auto to : kStates)
      EXPECT_EQ(may_follow(from, to), allowed.contains({from, to})) << name_of(from) << " " << name_of(to);
}

TEST(State, NamesAreReadBack) {
  for (const auto state : kStates) EXPECT_EQ(state_of(name_of(state)), state);
  for (const auto wish : {Wish::none, Wish::pause, Wish::cancel}) EXPECT_EQ(wish_of(name_of(wish)), wish);
  EXPECT_THROW(state_of("validating_files"), Error);
  EXPECT_THROW(wish_of("stop"), Error);
}

TEST(Ending, OfEachWayToEnd) {
  const Json said = {{"kind", "failed"}, {"place", "/a"}, {"message", "bad"}};
  const Json result = {{"status", "failed"}, {"error", {{"param", "/b"}, {"message", "worse"}}}};
  struct Case {
    RunEnd end;
    State state;
    std::string code, param;
    bool fault;
  };
  const Case cases[] = {
      {{.code = 0}, State::succeeded, "", "", false},
      {{.code = 0, .wish = Wish::cancel}, State::succeeded, "", "", false},
      {{.code = 137, .wish = Wish::cancel}, State::cancelled, "", "", false},
      {{.code = 3, .wish = Wish::cancel}, State::cancelled, "", "", false},
      {{.code = 3, .wish = Wish::pause}, State::paused, "", "", false},
      {{.code = 137, .wish = Wish::pause}, State::paused, "", "", false},
      {{.code = 3, .stopping = true}, State::queued, "", "", false},
      {{.code = 137, .stopping = true}, State::queued, "", "", false},
      {{.code = 3, .result = {{"status", "stopped"}, {"paused", "away"}}},
       State::paused,
       "paused",
       "",
       false},
      {{.code = 2, .said = said}, State::failed, "invalid_job", "/a", false},
      {{.code = 2, .said = said, .result = result}, State::failed, "invalid_job", "/b", false},
      {{.code = 1, .said = said, .result = result}, State::failed, "run_failed", "/b", false},
      {{.code = 1, .said = said, .disk_full = true}, State::paused, "disk_full", "", false},
      {{.code = 139, .faults_left = 1}, State::queued, "worker_died", "", true},
      {{.code = 139, .faults_left = 0}, State::failed, "worker_died", "", true},
      {{.code = 139, .result = result, .faults_left = 0}, State::failed, "worker_died", "/b", true},
  };
  for (const auto& [end, state, code, param, fault] : cases) {
    const auto ending = ending_of(end);
    EXPECT_EQ(name_of(ending.state), name_of(state)) << end.code;
    EXPECT_EQ(ending.fault, fault) << end.code;
    EXPECT_EQ(ending.error.is_null(), code.empty()) << ending.error;
    if (code.empty() || ending.error.is_null()) continue;
    EXPECT_EQ(ending.error.at("code"), code);
    EXPECT_FALSE(ending.error.at("message").get<std::string>().empty());
    EXPECT_EQ(ending.error.at("param"), param.empty() ? Json() : Json(param));
  }
}

/// The job after a change, and how many events that was worth.
std::pair<JobRow, size_t> changed(JobRow row, const Store::Change& change) {
  Store::Events events;
  change(row, events);
  return {row, events.size()};
}

TEST(Changes, AWishIsMetOnce) {
  JobRow running{.state = State::running};
  const auto [asked, told] = changed(running, wished(Wish::pause));
  EXPECT_EQ(asked.wish, Wish::pause);
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(changed(asked, wished(Wish::pause)).second, 0U);
  const auto cancelled = changed(asked, wished(Wish::cancel)).first;
  EXPECT_EQ(cancelled.wish, Wish::cancel);
  EXPECT_EQ(changed(cancelled, wished(Wish::pause)).first.wish, Wish::cancel) << "who cancels is not outdone";
  EXPECT_THROW(changed(asked, queued_again()), ApiError);
  EXPECT_EQ(changed(cancelled, taken_up()).first.state, State::cancelled);
  EXPECT_EQ(changed(asked, taken_up()).first.state, State::paused);
  EXPECT_EQ(changed(running, taken_up()).first.state, State::queued);
}

TEST(Changes, WhatIsOverStaysSo) {
  for (const auto state : {State::succeeded, State::failed, State::cancelled}) {
    const JobRow over{.state = state};
    EXPECT_THROW(changed(over, wished(Wish::pause)), ApiError);
    if (state == State::cancelled)
      EXPECT_EQ(changed(over, wished(Wish::cancel)).second, 0U);
    else
      EXPECT_THROW(changed(over, wished(Wish::cancel)), ApiError);
  }
}

TEST(Changes, ARunThatCannotBeBegunIsGivenUp) {
  JobRow job{.state = State::running};
  for (int fault = 1; fault <= 3; ++fault) {
    job = changed(job, failed_to_run("no program", 3)).first;
    EXPECT_EQ(name_of(job.state), fault < 3 ? "queued" : "failed");
    if (fault < 3) job = changed(job, begun()).first;
  }
  EXPECT_EQ(job.error.at("code"), "cannot_run");
  JobRow cancelled{.state = State::running, .wish = Wish::cancel, .faults = 5};
  EXPECT_EQ(changed(cancelled, failed_to_run("no program", 3)).first.state, State::cancelled);
}

TEST(Changes, FaultsAreCounted) {
  JobRow job{.state = State::running};
  for (int fault = 1; fault <= 3; ++fault) {
    job = changed(job, ended({.code = 137}, 3)).first;
    EXPECT_EQ(job.faults, fault);
    EXPECT_EQ(name_of(job.state), fault < 3 ? "queued" : "failed");
    if (fault < 3) job = changed(job, begun()).first;
  }
  EXPECT_EQ(job.attempts, 2);
}

}  // namespace
}  // namespace thalweg::service
