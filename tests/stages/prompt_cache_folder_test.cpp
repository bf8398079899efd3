// The folder in which encoded prompts are kept: what goes into it, what leaves it, who shares it.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>

#include "tests/stages/encoded_prompts.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;
using PromptCacheFolder = EncodedPrompts;

TEST_F(PromptCacheFolder, WhatIsNotFiniteIsNotKept) {
  model_.scale = std::numeric_limits<double>::infinity();
  EXPECT_EQ(cost(prompts_), 2);
  EXPECT_TRUE(entries().empty());
}

TEST_F(PromptCacheFolder, AFolderThatCannotBeWrittenIsNoted) {
  write_file(scratch_ / "cache", "a file");  // also for root, whom rights do not stop
  EXPECT_EQ(cost(prompts_), 2);
  EXPECT_EQ(cost(prompts_), 2);
  ASSERT_FALSE(messages_.empty());
  EXPECT_NE(messages_[0].find("cannot be kept"), std::string::npos) << messages_[0];
}

TEST_F(PromptCacheFolder, TheOldestEntriesGoWhenTheCacheIsFull) {
  encode({"a"});
  const auto bytes = static_cast<double>(fs::file_size(only_entry()));
  section_.max_gb = 2.5 * bytes / 1e9;
  const auto age = [&](const fs::path& path, int hours) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  const auto first = only_entry();
  age(first, 3);
  encode({"b"});
  for (const auto& path : entries())
    if (path != first) age(path, 2);
  EXPECT_EQ(cost({"a"}), 0);  // used last
  EXPECT_EQ(cost({"c"}), 1);
  EXPECT_EQ(entries().size(), 2u);
  EXPECT_EQ(cost({"a"}), 0);
  EXPECT_EQ(cost({"b"}), 1);
}

TEST_F(PromptCacheFolder, AnEntryLargerThanTheCacheIsNotKept) {
  section_.max_gb = 1e-8;
  EXPECT_EQ(cost({"a"}), 1);
  EXPECT_TRUE(entries().empty());
  ASSERT_EQ(messages_.size(), 1u);
  EXPECT_NE(messages_[0].find("more than the prompt cache may hold"), std::string::npos);
}

TEST_F(PromptCacheFolder, RemainsOfADeadProcessGo) {
  encode({"a"});
  const auto remains = scratch_ / "cache" / "abc.safetensors.77-0.partial.tmp";
  write_file(remains, "half");
  encode({"b"});
  EXPECT_TRUE(fs::exists(remains));  // another process may be writing it
  fs::last_write_time(remains, fs::file_time_type::clock::now() - std::chrono::hours(25));
  encode({"c"});
  EXPECT_FALSE(fs::exists(remains));
}

TEST_F(PromptCacheFolder, SeveralProcessesShareAFolder) {
  const auto expected = model_.encode(prompts_);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      bool all = true;
      for (int round = 0; round < 20; ++round) {
        std::error_code ec;
        if (round % 5 == i) fs::remove_all(scratch_ / "cache", ec);
        all = all && same(encode(prompts_), expected);
      }
      ::_exit(all ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const auto child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

TEST(PromptCache, DefaultFolderFollowsTheEnvironment) {
  const auto with = [](const char* cache, const char* home) {
    const auto set = [](const char* name, const char* value) {
      if (value)
        ::setenv(name, value, 1);
      else
        ::unsetenv(name);
    };
    set("XDG_CACHE_HOME", cache);
    set("HOME", home);
    return default_prompt_cache_folder();
  };
  const std::string cache = std::getenv("XDG_CACHE_HOME") ? std::getenv("XDG_CACHE_HOME") : "";
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  EXPECT_EQ(with("/c", "/h"), "/c/thalweg/prompts");
  EXPECT_EQ(with("relative", "/h"), "/h/.cache/thalweg/prompts");
  EXPECT_EQ(with(nullptr, "/h"), "/h/.cache/thalweg/prompts");
  EXPECT_EQ(with(nullptr, nullptr), "");
  with(cache.empty() ? nullptr : cache.c_str(), home.empty() ? nullptr : home.c_str());
}

}  // namespace
}  // namespace thalweg
