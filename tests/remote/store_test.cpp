// The file: answers that come back bit for bit, and caps that nothing exceeds.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "engine/core/error.h"
#include "plugins/remote/budget.h"
#include "plugins/remote/cache.h"

namespace remote {
namespace {

class InFile : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("remote-store-" + std::to_string(::getpid()));
  std::filesystem::path file_ = folder_ / "answers.sqlite";
};

bool same_bits(double a, double b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

using CacheTest = InFile;
TEST_F(CacheTest, GivesBackWhatWasPutBitForBit) {
  const std::vector<double> scores = {0.1, -0.0, std::nan(""), 1e-310, std::numeric_limits<double>::max()};
  const std::string raw("yes\0no", 6);
  {
    Store store(file_);
    Cache cache(store, 1 << 20);
    EXPECT_FALSE(cache.get("a", 5).has_value());
    cache.put("a", {scores, raw});
    cache.put("a", {{1, 2, 3, 4, 5}, "later"});  // the first stays
  }
  Store store(file_);
  Cache cache(store, 1 << 20);
  const auto found = cache.get("a", 5);
  ASSERT_TRUE(found.has_value());
  for (size_t k = 0; k < 5; ++k) EXPECT_TRUE(same_bits(found->scores_K[k], scores[k]));
  EXPECT_EQ(found->raw, raw);
  EXPECT_FALSE(cache.get("a", 4).has_value());
  EXPECT_FALSE(cache.get("b", 5).has_value());
}

TEST_F(CacheTest, AnAnswerThatIsFoundIsGivenThoughItsUseCannotBeWritten) {
  Store store("");
  Cache cache(store, 1 << 20);
  cache.put("a", {{0.5}, "yes"});
  store.run(
      "CREATE TRIGGER full BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
  ASSERT_THROW(store.run("UPDATE answers SET used = 1"), StoreError);
  const auto found = cache.get("a", 1);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->scores_K.at(0), 0.5);
}

TEST_F(CacheTest, ForgetsWhatWasNotUsedForLongest) {
  Store store(file_);
  Cache cache(store, 20000);
  const auto key = [](int i) { return "key " + std::to_string(i); };
  for (int i = 0; i < 1000; ++i) {
    cache.put(key(i), {{static_cast<double>(i)}, std::string(100, 'x')});
    ASSERT_TRUE(cache.get(key(0), 1).has_value()) << i;  // used all the time
  }
  EXPECT_TRUE(cache.get(key(999), 1).has_value());
  EXPECT_FALSE(cache.get(key(1), 1).has_value());
  int kept = 0;
  for (int i = 0; i < 1000; ++i) kept += cache.get(key(i), 1).has_value();
  EXPECT_GE(kept, 40);
  EXPECT_LE(kept, 70);  // 308 bytes each
}

TEST_F(CacheTest, RefusesAFileOfSomethingElse) {
  std::ofstream(file_) << "these are not the bytes of a database, but rather more than sixteen of them\n";
  try {
    const Store store(file_);
    FAIL();
  } catch (const thalweg::Error& e) {
    EXPECT_EQ(e.place(), "/cache/file");
  }
  EXPECT_THROW(Store("/nowhere/answers.sqlite"), thalweg::Error);
  const auto foreign = folder_ / "foreign.sqlite";
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(foreign.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE mine (x)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  EXPECT_THROW(Store{foreign}, thalweg::Error);
}

using BudgetTest = InFile;
TEST_F(BudgetTest, SixtyFourThreadsDoNotExceedIt) {
  Store store("");
  Budget budget(store, "judge", {.requests = 1000});
  std::atomic<int> reserved{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 64; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) reserved += budget.reserve({.requests = 1}).empty();
    });
  threads.clear();
  EXPECT_EQ(reserved, 1000);
  EXPECT_EQ(budget.spent().requests, 1000);
  EXPECT_NE(budget.reserve({.requests = 1}).find("/limits/max_requests"), std::string::npos);
  EXPECT_EQ(budget.reserve({}), "");  // what costs nothing is always free
}

TEST_F(BudgetTest, TwoConnectionsShareIt) {
  std::atomic<int> reserved{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        Store store(file_);
        Budget budget(store, "judge", {.tokens = 100});
        for (int i = 0; i < 20; ++i) reserved += budget.reserve({1, 3, 0}).empty();
      });
  }
  EXPECT_EQ(reserved, 33);
  Store store(file_);
  EXPECT_EQ(Budget(store, "judge", {}).spent().tokens, 99);
  EXPECT_EQ(Budget(store, "another", {}).spent().tokens, 0);
}

TEST_F(BudgetTest, WhatCostsNothingIsFreeBeyondTheCap) {
  Store store("");
  Budget budget(store, "judge", {.tokens = 100});
  EXPECT_EQ(budget.reserve({1, 90, 0}), "");
  budget.settle({1, 90, 0}, {1, 140, 0});  // more than its bound
  EXPECT_NE(budget.reserve({1, 1, 0}), "");
  EXPECT_EQ(budget.reserve({}), "");
}

TEST_F(BudgetTest, WhatIsNotUsedIsGivenBack) {
  Store store("");
  Budget budget(store, "judge", {.cost = 1.0});
  EXPECT_EQ(budget.reserve({1, 500, 0.75}), "");
  EXPECT_NE(budget.reserve({1, 500, 0.75}).find("/limits/max_cost"), std::string::npos);
  budget.settle({1, 500, 0.75}, {1, 20, 0.25});
  EXPECT_EQ(budget.reserve({1, 500, 0.75}), "");
  EXPECT_EQ(budget.spent().requests, 2);
  EXPECT_EQ(budget.spent().tokens, 520);
  EXPECT_DOUBLE_EQ(budget.spent().cost, 1.0);
}

}  // namespace
}  // namespace remote
