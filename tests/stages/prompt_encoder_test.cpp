// What is kept of encoded prompts is the same to the bit, and kept anew for whatever it depends on.
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/core/device.h"
#include "tests/stages/encoded_prompts.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;
using PromptEncoderTest = EncodedPrompts;

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
    const PromptEncoder encoder(model_, section_, workers_, observer_);
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
    PromptEncoder(model, section_, workers_, observer_).conditioning(prompts_);
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

// Rewards at a noise level see the prompts' own fields as those of finished samples do.
TEST_F(PromptEncoderTest, ConditioningCarriesThePromptsFields) {
  const PromptEncoder encoder(model_, section_, workers_, observer_);
  const auto set = encoder.encode({{"a", "b"}, {"{\"n\":1}", "{\"n\":2}"}});
  EXPECT_EQ(set.conditioning.select({1, 1}).metadata_json,
            (std::vector<std::string>{"{\"n\":2}", "{\"n\":2}"}));
  EXPECT_EQ(on_device(set.conditioning, at::kCPU).metadata_json, set.list.metadata_json);
  EXPECT_TRUE(encoder.conditioning({""}).metadata_json.empty());
}

}  // namespace
}  // namespace thalweg
