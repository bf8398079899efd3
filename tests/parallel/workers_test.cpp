#include "engine/parallel/workers.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>

namespace thalweg {
namespace {

TEST(Workers, RunEachTaskOnce) {
  for (const int64_t count : {1, 2, 3}) {
    Workers workers(count);
    EXPECT_EQ(workers.count(), count);
    for (const int64_t tasks : {0, 1, 2, 50}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      workers.for_each(tasks, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
      for (const auto& run : runs) EXPECT_EQ(run, 1);
    }
  }
}

TEST(Workers, AreThreadsOfOneIntraOpThread) {
  Workers workers(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> waiting{0};
  workers.for_each(2, [&](int64_t) {
    // Both must be inside at once, which one thread alone could not do.
    ++waiting;
    while (waiting < 2) std::this_thread::yield();
    EXPECT_EQ(at::get_num_threads(), 1);
    std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2u);
  EXPECT_EQ(threads.count(std::this_thread::get_id()), 0u);
}

TEST(Workers, RethrowTheExceptionOfTheLowestTask) {
  for (const int64_t count : {1, 2, 3}) {
    Workers workers(count);
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::atomic<int> finished{0};
      try {
        workers.for_each(12, [&](int64_t i) {
          ++finished;
          if (i == 3 || i == 7 || i == 11) throw std::runtime_error("task " + std::to_string(i));
        });
        ADD_FAILURE() << "nothing was thrown";
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "task 3");
      }
      EXPECT_EQ(finished, 12);  // nothing is left running when the caller goes on
    }
    // An old failure is forgotten.
    int64_t sum = 0;
    std::mutex mutex;
    EXPECT_NO_THROW(workers.for_each(5, [&](int64_t i) {
      std::lock_guard lock(mutex);
      sum += i;
    }));
    EXPECT_EQ(sum, 10);
  }
}

// Task 0 fails last: its worker waits for task 2, which the other takes only once task 1 has failed.
TEST(Workers, RethrowTheLowestTaskHoweverLateItFails) {
  Workers workers(2);
  std::atomic<bool> last_began{false};
  try {
    workers.for_each(3, [&](int64_t i) {
      if (i == 2) last_began = true;
      while (i == 0 && !last_began) std::this_thread::yield();
      if (i < 2) throw std::runtime_error("task " + std::to_string(i));
    });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "task 0");
  }
}

TEST(Workers, StopWhenTheyAreIdle) {
  for (int i = 0; i < 50; ++i) Workers workers(3);
}

}  // namespace
}  // namespace thalweg
