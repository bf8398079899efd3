#include "pipelines/stages/reward_lines.h"

#include <gtest/gtest.h>
#include <thalweg/ext/log.h>

#include <string>
#include <thread>
#include <vector>

namespace thalweg::testing {
namespace {

class Lines : public ::testing::Test {
 protected:
  Lines() {
    observer_.message = [this](const std::string& line) {
      EXPECT_EQ(std::this_thread::get_id(), owner_);
      shown_.push_back(line);
    };
  }
  static void elsewhere(const std::function<void()>& body) { std::thread(body).join(); }

  const std::thread::id owner_ = std::this_thread::get_id();
  std::vector<std::string> shown_;
  Observer observer_;
};

TEST_F(Lines, OfOtherThreadsWaitForTheirTurn) {
  RewardLines lines(observer_);
  const auto log = lines.log();
  log(THALWEG_LOG_INFO, "a", "here");
  EXPECT_EQ(shown_, std::vector<std::string>{"a: here"});
  elsewhere([&] {
    log(THALWEG_LOG_WARNING, "b", "there");
    log(THALWEG_LOG_ERROR, "a", "there");
    log(THALWEG_LOG_DEBUG, "a", "between us");
    log(THALWEG_LOG_INFO, "a", "here");
  });
  EXPECT_EQ(shown_.size(), 1u);
  const auto events = lines.take();
  EXPECT_EQ(shown_, (std::vector<std::string>{"a: here", "warn: b: there", "error: a: there"}));
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].level, "error");
  EXPECT_EQ(events[1].type, "reward_log");
  EXPECT_EQ(events[2].data, (Json{{"plugin", "b"}, {"text", "there"}}));
  EXPECT_TRUE(lines.take().empty());
}

TEST_F(Lines, OfARewardThatNeverStopsAreTheFirst) {
  RewardLines lines(observer_);
  const auto log = lines.log();
  for (int i = 0; i < 1000; ++i) log(THALWEG_LOG_INFO, "a", "line " + std::to_string(i % 500));
  log(THALWEG_LOG_INFO, "b", "I am new");
  EXPECT_EQ(shown_.size(), 66u);
  EXPECT_EQ(shown_[64], "warn: a: has written many lines; the rest is left out");
  EXPECT_EQ(shown_[65], "b: I am new");
  EXPECT_EQ(lines.take().size(), 66u);
  log(THALWEG_LOG_INFO, "a", "another");
  EXPECT_TRUE(lines.take().empty());
}

TEST_F(Lines, OnRecordDoNotDependOnWhichCameFirst) {
  const auto messages = [&](int step) {
    RewardLines lines(observer_);
    const auto log = lines.log();
    elsewhere([&] {
      for (int i = 0; i < 100; ++i) log(THALWEG_LOG_INFO, "a", std::to_string(i * step % 100));
    });
    std::vector<std::string> found;
    for (const auto& event : lines.take()) found.push_back(event.message);
    return found;
  };
  const auto forward = messages(1);
  EXPECT_EQ(forward.size(), 65u);
  EXPECT_EQ(messages(37), forward);
}

TEST_F(Lines, OnRecordAreNoNewEvents) {
  RewardLines lines(observer_);
  const auto log = lines.log();
  log(THALWEG_LOG_INFO, "a", "starts");
  lines.forget({{{"type", "reward_log"}, {"data", {{"plugin", "a"}, {"text", "starts"}}}},
                {{"type", "reward_log"}, {"data", {{"plugin", "a"}, {"text", "goes on"}}}},
                {{"type", "reward_failed"}, {"data", Json::object()}}});
  log(THALWEG_LOG_INFO, "a", "goes on");
  log(THALWEG_LOG_INFO, "a", "ends");
  const auto events = lines.take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].message, "a: ends");
}

TEST_F(Lines, MayComeAfterTheEnd) {
  RewardLog log;
  {
    RewardLines lines(observer_);
    log = lines.log();
  }
  log(THALWEG_LOG_ERROR, "a", "too late");
  EXPECT_TRUE(shown_.empty());
}

}  // namespace
}  // namespace thalweg::testing
