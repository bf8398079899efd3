#include "engine/parallel/handover.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stdexcept>

namespace thalweg {
namespace {

TEST(Handover, WithoutThreadsTheCallerWorks) {
  Handover handover(0);
  std::thread::id by;
  handover.hand_on(0, [&] { by = std::this_thread::get_id(); });
  EXPECT_EQ(by, std::this_thread::get_id());
  EXPECT_THROW(handover.hand_on(1, [] { throw std::runtime_error("here"); }), std::runtime_error);
  handover.join();
}

TEST(Handover, DoesAllOfItOnce) {
  std::atomic<int> done{0};
  Handover handover(3);
  for (int64_t i = 0; i < 50; ++i) handover.hand_on(i, [&] { ++done; });
  handover.join();
  EXPECT_EQ(done, 50);
  handover.hand_on(50, [&] { ++done; });  // and may be handed more
  handover.join();
  EXPECT_EQ(done, 51);
}

// Who hands on more than there are threads waits: what is drawn does not pile up.
TEST(Handover, NoMoreAreUnfinishedThanThereAreThreads) {
  std::atomic<int> begun{0}, finished{0}, most{0};
  Handover handover(2);
  for (int64_t i = 0; i < 40; ++i) {
    ++begun;
    handover.hand_on(i, [&] {
      most = std::max(most.load(), begun - finished);
      ++finished;
    });
  }
  handover.join();
  EXPECT_LE(most, 3);  // two that were handed on, and the one that waits
}

TEST(Handover, TheFirstFailureIsTold) {
  Handover handover(2);
  std::promise<void> second;
  const auto fails = [](const char* what) { throw std::runtime_error(what); };
  handover.hand_on(3, [&] {
    second.get_future().wait();
    fails("three");
  });
  handover.hand_on(7, [&] {
    second.set_value();
    fails("seven");
  });
  try {
    handover.join();
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "three");
  }
  handover.join();  // once
}

TEST(Handover, WaitsAtItsEndForWhatWasHandedOn) {
  std::atomic<int> done{0};
  {
    Handover handover(2);
    for (int64_t i = 0; i < 9; ++i) handover.hand_on(i, [&] { ++done; });
  }
  EXPECT_EQ(done, 9);
}

}  // namespace
}  // namespace thalweg
