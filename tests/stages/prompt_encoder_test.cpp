// What is kept of encoded prompts is the same to the bit, or it is not used.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "engine/core/device.h"
#include "engine/weights/safetensors.h"
#include "pipelines/stages/prompt_set.h"
#include "tests/io/scratch.h"
#include "tests/stages/text_model.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

class PromptEncoderTest : public ::testing::Test {
 protected:
  PromptEncoderTest() {
    write_weights("first");
    observer_.message = [this](const std::string& line) { messages_.push_back(line); };
  }

  void write_weights(const std::string& text) {
    std::ofstream(scratch_ / "weights", std::ios::binary) << text;
  }

  Conditioning encode(const Texts& prompts) {
    return PromptEncoder(model_, section_, observer_).conditioning(prompts);
  }
  /// How many prompts are encoded for it.
  int64_t cost(const Texts& prompts) {
    const auto before = model_.encoded;
    encode(prompts);
    return model_.encoded - before;
  }
  static bool same(const Conditioning& a, const Conditioning& b) {
    if (a.prompts != b.prompts || a.tensors.size() != b.tensors.size()) return false;
    for (const auto& [name, tensor] : a.tensors)
      if (tensor.scalar_type() != b.tensors.at(name).scalar_type() || !at::equal(tensor, b.tensors.at(name)))
        return false;
    return true;
  }
  std::vector<fs::path> entries() const {
    std::vector<fs::path> found;
    for (const auto& file : fs::directory_iterator(scratch_ / "cache"))
      if (file.is_regular_file()) found.push_back(file.path());
    return found;
  }
  fs::path only_entry() const {
    EXPECT_EQ(entries().size(), 1u);
    return entries().at(0);
  }
  /// The entry is spoilt: what comes is encoded anew, said so once, and then kept again.
  void expect_encoded_again(const std::string& words) {
    messages_.clear();
    const auto expected = model_.encode(prompts_);
    const auto before = model_.encoded;
    EXPECT_TRUE(same(encode(prompts_), expected));
    EXPECT_EQ(model_.encoded - before, 2) << words;
    ASSERT_EQ(messages_.size(), 1u) << words;
    EXPECT_NE(messages_[0].find("damaged"), std::string::npos) << messages_[0];
    EXPECT_NE(messages_[0].find(words), std::string::npos) << messages_[0];
    EXPECT_EQ(cost(prompts_), 0);
  }

  Scratch scratch_;
  TextModel model_{scratch_ / "weights"};
  PromptCacheSection section_{(scratch_ / "cache").string(), 1.0};
  Observer observer_;
  Texts messages_;
  const Texts prompts_ = {"a", "bcd"};
};

TEST_F(PromptEncoderTest, AHitGivesTheSameBitsAndEncodesNothing) {
  const auto expected = model_.encode(prompts_);
  EXPECT_TRUE(same(encode(prompts_), expected));
  const auto before = model_.encoded;
  EXPECT_TRUE(same(encode(prompts_), expected));
  EXPECT_EQ(model_.encoded, before);
  section_.max_gb = 0.0;
  EXPECT_TRUE(same(encode(prompts_), expected));
  EXPECT_EQ(model_.encoded, before + 2);
  EXPECT_TRUE(messages_.empty());
}

TEST_F(PromptEncoderTest, WhoeverDropsItReleasesTheEncoders) {
  {
    const PromptEncoder encoder(model_, section_, observer_);
    encoder.conditioning({"a"});
    encoder.conditioning({"b"});
    EXPECT_EQ(model_.released, 0);
  }
  EXPECT_EQ(model_.released, 1);
}

TEST_F(PromptEncoderTest, WhateverTheNumbersDependOnMakesAnotherEntry) {
  EXPECT_EQ(cost(prompts_), 2);
  EXPECT_EQ(cost({"bcd", "a"}), 2);
  EXPECT_EQ(cost({"a"}), 1);
  EXPECT_EQ(cost({"ab", "cd"}), 2);
  model_.settings = "b";
  EXPECT_EQ(cost(prompts_), 2);
  model_.settings = "a";
  model_.dtype = at::kBFloat16;
  EXPECT_EQ(cost(prompts_), 2);
  EXPECT_EQ(cost(prompts_), 0);
  model_.dtype = at::kFloat;
  EXPECT_EQ(cost(prompts_), 0);
}

TEST_F(PromptEncoderTest, OtherWeightsOfTheSameSizeAndTimeMakeAnotherEntry) {
  const timespec old[2] = {{1'700'000'000, 5}, {1'700'000'000, 5}};
  const auto age = [&] { ASSERT_EQ(::utimensat(AT_FDCWD, (scratch_ / "weights").c_str(), old, 0), 0); };
  age();
  EXPECT_EQ(cost(prompts_), 2);
  EXPECT_EQ(cost(prompts_), 0);
  write_weights("other");
  age();
  EXPECT_EQ(cost(prompts_), 2);
  write_weights("first");
  age();
  EXPECT_EQ(cost(prompts_), 0);
}

TEST_F(PromptEncoderTest, DigestsAreRememberedOnlyForFilesThatRest) {
  encode(prompts_);
  EXPECT_TRUE(fs::is_empty(scratch_ / "cache" / "digests"));  // the file is seconds old: it may change unseen
}

// A file of the sources is old enough.
TEST_F(PromptEncoderTest, TheDigestOfAFileAtRestIsReadOnce) {
  TextModel model(fs::path(THALWEG_SOURCE_DIR) / "LICENSE");
  const auto cost_of = [&] {
    const auto before = model.encoded;
    PromptEncoder(model, section_, observer_).conditioning(prompts_);
    return model.encoded - before;
  };
  EXPECT_EQ(cost_of(), 2);
  fs::path memo;
  for (const auto& file : fs::directory_iterator(scratch_ / "cache" / "digests")) memo = file.path();
  ASSERT_FALSE(memo.empty());
  const auto text = read_file(memo);
  EXPECT_EQ(cost_of(), 0);
  auto other = text;
  other.back() = other.back() == '0' ? '1' : '0';
  write_file(memo, other);
  EXPECT_EQ(cost_of(), 2);  // believed: the file was not read again
  for (const auto& damaged :
       {std::string(), std::string("x"), text.substr(0, text.size() - 1), "1 " + text}) {
    write_file(memo, damaged);
    EXPECT_EQ(cost_of(), 0) << damaged;  // not believed: the right digest again
    EXPECT_EQ(read_file(memo), text);
  }
}

TEST_F(PromptEncoderTest, EveryChangedByteIsSeen) {
  encode(prompts_);
  const auto path = only_entry();
  const auto bytes = read_file(path);
  // Far steps in the header, whose bytes say less each, and every byte of the data.
  std::vector<size_t> positions;
  for (size_t i = 0; i < bytes.size(); i += i + 150 < bytes.size() ? 37 : 1) positions.push_back(i);
  for (const auto position : positions) {
    auto changed = bytes;
    changed[position] ^= 0x41;
    write_file(path, changed);
    const auto expected = model_.encode(prompts_);
    EXPECT_TRUE(same(encode(prompts_), expected)) << position;
  }
  auto changed = bytes;
  changed.back() ^= 1;
  write_file(path, changed);
  expect_encoded_again("not those that were written");
}

TEST_F(PromptEncoderTest, TruncatedAndEmptyFilesAreSeen) {
  encode(prompts_);
  const auto path = only_entry();
  const auto size = fs::file_size(path);
  for (const auto kept : {uintmax_t{0}, uintmax_t{7}, uintmax_t{60}, size / 2, size - 1}) {
    fs::resize_file(path, kept);
    expect_encoded_again("");
  }
}

TEST_F(PromptEncoderTest, OtherShapesDtypesAndNamesAreSeen) {
  encode(prompts_);
  const auto path = only_entry();
  const auto file = read_safetensors(path);
  const auto with = [&](const std::string& name, const at::Tensor& value, const std::string& words) {
    auto tensors = file.tensors;
    for (auto& [key, tensor] : tensors) tensor = tensor.clone();
    tensors[name] = value;
    write_safetensors(path, tensors, file.metadata);
    expect_encoded_again(words);
  };
  with("embeds", at::zeros({2, 4, 3}), "another shape");
  with("embeds", at::zeros({3, 3, 4}), "another shape");
  with("embeds", at::zeros({2, 3, 4}, at::kDouble), "another shape");
  with("embeds", at::full({2, 3, 4}, std::nan("")), "not finite");
  with("extra", at::zeros({2}), "other tensors");
  with("embeds", at::zeros({2, 3, 4}), "not those that were written");
}

TEST_F(PromptEncoderTest, AnEntryUnderAnotherNameIsSeen) {
  encode({"q", "rst"});
  const auto other = only_entry();
  encode(prompts_);
  for (const auto& path : entries())
    if (path != other) fs::copy_file(other, path, fs::copy_options::overwrite_existing);
  expect_encoded_again("of other prompts");
}

TEST_F(PromptEncoderTest, WhatIsNotFiniteIsNotKept) {
  model_.scale = std::numeric_limits<double>::infinity();
  EXPECT_EQ(cost(prompts_), 2);
  EXPECT_TRUE(entries().empty());
}

TEST_F(PromptEncoderTest, AFolderThatCannotBeWrittenIsNoted) {
  write_file(scratch_ / "cache", "a file");  // also for root, whom rights do not stop
  EXPECT_EQ(cost(prompts_), 2);
  EXPECT_EQ(cost(prompts_), 2);
  ASSERT_FALSE(messages_.empty());
  EXPECT_NE(messages_[0].find("cannot be kept"), std::string::npos) << messages_[0];
}

TEST_F(PromptEncoderTest, TheOldestEntriesGoWhenTheCacheIsFull) {
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

TEST_F(PromptEncoderTest, AnEntryLargerThanTheCacheIsNotKept) {
  section_.max_gb = 1e-8;
  EXPECT_EQ(cost({"a"}), 1);
  EXPECT_TRUE(entries().empty());
  ASSERT_EQ(messages_.size(), 1u);
  EXPECT_NE(messages_[0].find("more than the prompt cache may hold"), std::string::npos);
}

TEST_F(PromptEncoderTest, RemainsOfADeadProcessGo) {
  encode({"a"});
  const auto remains = scratch_ / "cache" / "abc.safetensors.77-0.partial.tmp";
  write_file(remains, "half");
  encode({"b"});
  EXPECT_TRUE(fs::exists(remains));  // another process may be writing it
  fs::last_write_time(remains, fs::file_time_type::clock::now() - std::chrono::hours(25));
  encode({"c"});
  EXPECT_FALSE(fs::exists(remains));
}

TEST_F(PromptEncoderTest, SeveralProcessesShareAFolder) {
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

// Rewards at a noise level see the prompts' own fields as those of finished samples do.
TEST_F(PromptEncoderTest, ConditioningCarriesThePromptsFields) {
  const PromptEncoder encoder(model_, section_, observer_);
  const auto set = encoder.encode({{"a", "b"}, {"{\"n\":1}", "{\"n\":2}"}});
  EXPECT_EQ(set.conditioning.select({1, 1}).metadata_json, (Texts{"{\"n\":2}", "{\"n\":2}"}));
  EXPECT_EQ(on_device(set.conditioning, at::kCPU).metadata_json, set.list.metadata_json);
  EXPECT_TRUE(encoder.conditioning({""}).metadata_json.empty());
}

}  // namespace
}  // namespace thalweg
