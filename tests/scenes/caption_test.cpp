#include "pipelines/scenes/caption.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "engine/core/error.h"
#include "plugins/scene/caption.h"

namespace thalweg::scenes {
namespace {

std::map<Family, int> count_families(const std::vector<std::string>& texts) {
  std::map<Family, int> counts;
  for (const std::string& text : texts) ++counts[find_caption(text).family];
  return counts;
}

std::vector<std::string> every_caption() {
  std::vector<std::string> texts = all_captions();
  for (std::string& text : all_captions(Split::kHard)) texts.push_back(std::move(text));
  return texts;
}

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file("assets/prompts/scenes/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(SceneCaptions, EveryCaptionIsOnceThere) {
  const std::vector<std::string> texts = all_captions();
  EXPECT_EQ(texts.size(), 18U + 18 * 17 + 3 * 18 + 4 * 18 * 17 + 18 * 17);
  EXPECT_TRUE(std::is_sorted(texts.begin(), texts.end()));
  EXPECT_EQ(std::adjacent_find(texts.begin(), texts.end()), texts.end());
  for (const char* text : {"a red circle", "a blue square and a cyan triangle", "three purple triangles",
                           "a green circle left of a red square", "a green circle above a green square",
                           "two yellow squares and a yellow circle"}) {
    EXPECT_TRUE(std::binary_search(texts.begin(), texts.end(), text)) << text;
  }
}

TEST(SceneCaptions, TheHardSplitHasOtherCaptions) {
  const std::vector<std::string> world = all_captions(), hard = all_captions(Split::kHard);
  EXPECT_EQ(hard.size(), (2U + 3) * 4 * 18 * 17 + (3U + 2) * 18 * 17);
  EXPECT_EQ(std::adjacent_find(hard.begin(), hard.end()), hard.end());
  for (const std::string& text : hard) {
    EXPECT_FALSE(std::binary_search(world.begin(), world.end(), text)) << text;
    int objects = 0;
    for (const Kind& kind : find_caption(text).kinds) objects += kind.count;
    EXPECT_TRUE(objects >= 3 && objects <= 5) << text;
  }
  for (const char* text :
       {"two red circles left of a red square", "a red circle above three cyan squares",
        "two blue squares and two blue circles", "four red circles and a green triangle"}) {
    EXPECT_TRUE(std::binary_search(hard.begin(), hard.end(), text)) << text;
  }
}

// The embedded model reads ten tokens, of which the first and the last are none of the caption's.
TEST(SceneCaptions, TheHardSplitHasTheWorldsWordsInNoLongerSentences) {
  const std::vector<std::string> words = vocabulary();
  for (const std::string& text : all_captions(Split::kHard)) {
    std::istringstream stream(text);
    int number = 0;
    for (std::string word; stream >> word; ++number) {
      EXPECT_TRUE(std::binary_search(words.begin(), words.end(), word)) << text;
    }
    EXPECT_LE(number, 8) << text;
  }
}

TEST(SceneCaptions, TextGoesThereAndBack) {
  for (const std::string& text : every_caption()) EXPECT_EQ(to_text(find_caption(text)), text);
  EXPECT_THROW(find_caption("a red  circle"), Error);
  EXPECT_THROW(find_caption("five red circles"), Error);
}

TEST(SceneCaptions, VocabularyIsTheWordsUsed) {
  const std::vector<std::string> words = vocabulary();
  EXPECT_EQ(words.size(), 22U);
  for (const char* word : {"a", "and", "of", "left", "triangles", "four", "purple"}) {
    EXPECT_TRUE(std::binary_search(words.begin(), words.end(), word)) << word;
  }
}

TEST(SceneCaptions, ThePluginReadsWhatTheWorldWrites) {
  for (const std::string& text : every_caption()) {
    const Caption written = find_caption(text);
    const scene::Caption read = scene::parse_caption(text);
    ASSERT_EQ(read.groups.size(), written.kinds.size()) << text;
    for (std::size_t i = 0; i < read.groups.size(); ++i) {
      EXPECT_EQ(read.groups[i].color, written.kinds[i].color) << text;
      EXPECT_EQ(read.groups[i].shape, written.kinds[i].shape) << text;
      EXPECT_EQ(read.groups[i].count, written.kinds[i].count) << text;
    }
    EXPECT_EQ(static_cast<int>(read.relation), static_cast<int>(written.relation)) << text;
  }
}

TEST(SceneCaptions, ThePluginRefusesOtherPrompts) {
  EXPECT_EQ(scene::parse_caption("  A Red\tcircle. ").groups.size(), 1U);
  EXPECT_EQ(scene::parse_caption("one red circle and two blue squares and a cyan square").groups.size(), 3U);
  for (const char* prompt :
       {"", " ", ".", "a", "a red", "red circle", "a red circles", "two red circle", "a pink circle",
        "five red circles", "a red circle and", "a red circle left a blue square", "a red circle, please",
        "a red circle and a red circle", "two red circles left of a red circle",
        "a red circle left of a blue square and a cyan square", "a red circle near a blue square",
        "a red circle and a blue square left of a cyan square"}) {
    EXPECT_THROW(scene::parse_caption(prompt), std::invalid_argument) << prompt;
  }
}

TEST(SceneCaptions, OneInEightIsHeldOut) {
  std::map<Family, std::array<int, 3>> shares;  // train, part 0, part 1
  int held = 0;
  for (const std::string& text : every_caption()) {
    const int side = held_out(text) ? 1 + held_out_part(text) : 0;
    held += side > 0 ? 1 : 0;
    ++shares[find_caption(text).family][static_cast<std::size_t>(side)];
  }
  EXPECT_NEAR(held, 9558 / 8, 60);
  EXPECT_EQ(shares.size(), 9U);
  for (const auto& [family, counts] : shares) {
    EXPECT_GE(std::min(counts[1], counts[2]), 2) << static_cast<int>(family);
    EXPECT_GT(counts[0], 2 * (counts[1] + counts[2])) << static_cast<int>(family);
  }
  // The split is part of every published number: these must never change.
  EXPECT_TRUE(held_out("a blue square"));
  EXPECT_TRUE(held_out("four yellow circles"));
  EXPECT_FALSE(held_out("a red circle"));
}

class SceneDraws : public testing::TestWithParam<Split> {};
INSTANTIATE_TEST_SUITE_P(Splits, SceneDraws, testing::Values(Split::kWorld, Split::kHard));

TEST_P(SceneDraws, KeepSharesAndSides) {
  for (const int part : {0, 1}) {
    const std::vector<std::string> texts = eval_captions(300, 5, part, GetParam());
    const std::map<Family, int> counts = count_families(texts);
    std::map<std::string, int> repeats;
    std::map<Family, std::pair<int, int>> range;
    for (const std::string& text : texts) {
      EXPECT_TRUE(held_out(text) && held_out_part(text) == part) << text;
      ++repeats[text];
    }
    for (const auto& [text, number] : repeats) {
      auto& [least, most] = range.try_emplace(find_caption(text).family, number, number).first->second;
      least = std::min(least, number);
      most = std::max(most, number);
    }
    EXPECT_EQ(counts.size(), shares_of(GetParam()).size());
    for (const FamilyShare& share : shares_of(GetParam())) {
      EXPECT_EQ(counts.at(share.family), 3 * share.percent);
      EXPECT_LE(range[share.family].second - range[share.family].first, 1);
    }
  }
  for (const std::string& text : train_captions(300, 5, GetParam())) EXPECT_FALSE(held_out(text)) << text;
}

TEST(SceneCaptions, DrawsAreAFunctionOfTheirSeed) {
  EXPECT_EQ(eval_captions(64, 1, 0), eval_captions(64, 1, 0));
  EXPECT_NE(eval_captions(64, 1, 0), eval_captions(64, 2, 0));
  EXPECT_EQ(eval_captions(7, 1, 1).size(), 7U);
  EXPECT_TRUE(train_captions(0, 1).empty());
  EXPECT_THROW(eval_captions(4, 0, 2), Error);
  EXPECT_THROW(eval_captions(-1, 0, 0), Error);
}

TEST(SceneCaptions, PromptFilesAreWhatTheProgramWrites) {
  EXPECT_EQ(lines_of("train.txt"), train_captions(2000, 0));
  EXPECT_EQ(lines_of("select.txt"), eval_captions(256, 0, 0));
  EXPECT_EQ(lines_of("eval.txt"), eval_captions(512, 0, 1));
  EXPECT_EQ(lines_of("hard_train.txt"), train_captions(2000, 0, Split::kHard));
  EXPECT_EQ(lines_of("hard_select.txt"), eval_captions(256, 0, 0, Split::kHard));
  EXPECT_EQ(lines_of("hard_eval.txt"), eval_captions(512, 0, 1, Split::kHard));
}

}  // namespace
}  // namespace thalweg::scenes
