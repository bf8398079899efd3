// Keys of rank_pattern and alpha_pattern: what fits is held against Python's re, as PEFT asks it.
#include "engine/weights/lora_pattern.h"

#include <gtest/gtest.h>

#include "tests/weights/files.h"

namespace thalweg {
namespace {

using testing::complaint;

const std::vector<std::string> kLayers = {"blocks.0.attn.to_q", "blocks.1.attn.to_q", "blocks.10.attn.to_q",
                                          "blocks.1.ff.net.0.proj", "proj_out"};

// Indices of the layers that re.match(rf"(.*\.)?({key})$", layer) finds.
TEST(LoraPattern, FitsWhatPeftFits) {
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"to_q", "012"},
      {"attn.to_q", "012"},
      {"attn\\.to_q", "012"},
      {"attn.to.q", "012"},  // a dot is any character
      {"attn.to\\.q", ""},   // but not where it is escaped
      {"o_q", ""},           // from a dot on
      {"^to_q", ""},         // the whole name
      {"^blocks.1.attn.to_q", "1"},
      {"^proj_out$", "4"},
      {"proj_out$", "4"},
      {"1.attn.to_q", "1"},
      {".*to_q", "012"},
      {"blocks\\.[01]\\.attn.*", "01"},
      {"blocks.(1|10).attn.to_q", "12"},
      {"blocks\\.\\d+\\.attn\\.to_q", "012"},
      {"blocks\\.1\\d?\\..*", "123"},
      {"(?:to_q|proj)", "0123"},
      {"(?!to)\\w+_\\w+", "4"},
      {"(a+)+b", ""},
      {"proj", "3"},
  };
  for (const auto& [key, which] : expected) {
    const LoraPattern pattern(key, "p");
    std::string found;
    for (size_t i = 0; i < kLayers.size(); ++i)
      if (pattern.matches(kLayers[i])) found += std::to_string(i);
    EXPECT_EQ(found, which) << key;
  }
}

TEST(LoraPattern, RefusesWhatPythonReadsOtherwise) {
  const auto refused = [](const std::string& key, const char* words) {
    const auto message = complaint([&] { LoraPattern(key, "/at"); });
    EXPECT_TRUE(message.starts_with("/at: ")) << key << ": " << message;
    EXPECT_NE(message.find(words), std::string::npos) << key << ": " << message;
  };
  refused("", "empty");
  refused(std::string(513, 'a'), "513 characters");
  refused("(to_q", "no regular expression");
  refused("to_q)|(x", "no regular expression");
  refused("[a", "no regular expression");
  refused("*a", "no regular expression");
  refused("a{3}", "counted repeat");
  refused("[[:alpha:]]+", "a class [:");
  refused("(?i)to_q", "a group (?i");
  refused("(?<=x)to_q", "a group (?<");
  refused("(a)\\1", "an escape \\1");
  refused("to_q\\Z", "an escape \\Z");
}

// What backtracks without end in Python takes no time here.
TEST(LoraPattern, DoesNotBacktrack) {
  const LoraPattern pattern("(a+)+b", "p");
  EXPECT_FALSE(pattern.matches(std::string(2000, 'a')));
}

TEST(LoraPattern, TheFirstThatFitsDecides) {
  const auto values =
      values_by_layer({{"1.attn.to_q", 3.0}, {"to_q", 2.0}, {"proj_out", 5.0}}, kLayers, "/p");
  const std::map<std::string, double> expected = {
      {kLayers[0], 2.0}, {kLayers[1], 3.0}, {kLayers[2], 2.0}, {"proj_out", 5.0}};
  EXPECT_EQ(values, expected);
  EXPECT_TRUE(values_by_layer({}, kLayers, "/p").empty());
}

TEST(LoraPattern, OneThatDecidesNothingIsRefusedByName) {
  const auto said = [](const LoraPatterns& patterns, const std::vector<std::string>& layers) {
    return complaint([&] { values_by_layer(patterns, layers, "/p"); });
  };
  EXPECT_NE(
      said({{"to_q", 2.0}, {"to_k", 2.0}}, kLayers)
          .find("/p: the pattern \"to_k\" fits none of the 5 adapted layers, such as blocks.0.attn.to_q"),
      std::string::npos);
  EXPECT_NE(said({{"to_q", 2.0}, {"attn.to_q", 3.0}}, kLayers).find("\"attn.to_q\" decides nothing"),
            std::string::npos);
  EXPECT_NE(said({{"to_q", 2.0}}, {}).find("fits none of the 0"), std::string::npos);
}

}  // namespace
}  // namespace thalweg
