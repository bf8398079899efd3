#include "pipelines/moving_scenes/caption.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "engine/core/error.h"
#include "plugins/motion/caption.h"

namespace thalweg::moving_scenes {
namespace {

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file("assets/prompts/moving_scenes/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(MovingCaptions, EveryCaptionIsOnceThere) {
  const std::vector<std::string> texts = all_captions();
  // Of two: ordered pairs of colours, shapes of each, actions of each but "stays" for both.
  EXPECT_EQ(texts.size(), 18U * 4 + 18 * 2 + 18 * 2 + 18 * 5 + 18 * 8 + 30 * 9 * (9 * 9 - 1));
  EXPECT_TRUE(std::is_sorted(texts.begin(), texts.end()));
  EXPECT_EQ(std::adjacent_find(texts.begin(), texts.end()), texts.end());
  for (const char* text : {"a red circle moves left", "a blue square grows", "a cyan triangle vanishes",
                           "a green circle turns purple", "a yellow square moves up then right",
                           "a red circle stays and a blue circle moves down"}) {
    EXPECT_TRUE(std::binary_search(texts.begin(), texts.end(), text)) << text;
  }
}

TEST(MovingCaptions, TextGoesThereAndBack) {
  for (const std::string& text : all_captions()) EXPECT_EQ(to_text(find_caption(text)), text);
  for (const char* text : {"a red circle stays", "a red circle moves left then left", "a red circle  grows",
                           "a red circle grows and a red square grows", ""}) {
    EXPECT_THROW(find_caption(text), Error) << text;
    EXPECT_THROW(held_out(text), Error) << text;
  }
}

TEST(MovingCaptions, VocabularyIsTheWordsUsedInShortSentences) {
  const std::vector<std::string> words = vocabulary();
  EXPECT_EQ(words.size(), 23U);
  std::size_t longest = 0;
  for (const std::string& text : all_captions()) {
    std::istringstream stream(text);
    std::size_t number = 0;
    for (std::string word; stream >> word; ++number) {
      EXPECT_TRUE(std::binary_search(words.begin(), words.end(), word)) << text;
    }
    longest = std::max(longest, number);
  }
  EXPECT_EQ(longest, 11U);
}

// The world's verbs in the plugin's words.
motion::Verb read_as(Verb verb) {
  constexpr std::array<motion::Verb, 8> verbs = {
      motion::Verb::kMoves,   motion::Verb::kMoves,    motion::Verb::kGrows, motion::Verb::kShrinks,
      motion::Verb::kAppears, motion::Verb::kVanishes, motion::Verb::kTurns, motion::Verb::kStays};
  return verbs.at(static_cast<std::size_t>(verb));
}

TEST(MovingCaptions, ThePluginReadsWhatTheWorldWrites) {
  for (const std::string& text : all_captions()) {
    const Caption& written = find_caption(text);
    const motion::Caption read = motion::parse_caption(text);
    ASSERT_EQ(read.actors.size(), written.actors.size()) << text;
    for (std::size_t i = 0; i < read.actors.size(); ++i) {
      const motion::Actor& actor = read.actors[i];
      const Action& action = written.actors[i].action;
      EXPECT_EQ(actor.color, written.actors[i].color) << text;
      EXPECT_EQ(actor.shape, written.actors[i].shape) << text;
      EXPECT_EQ(actor.verb, read_as(action.verb)) << text;
      EXPECT_EQ(actor.new_color, action.color) << text;
      std::vector<motion::Direction> legs;
      if (actor.verb == motion::Verb::kMoves)
        legs.push_back(static_cast<motion::Direction>(action.direction));
      if (action.verb == Verb::kMovesThen) legs.push_back(static_cast<motion::Direction>(action.then));
      EXPECT_EQ(actor.legs, legs) << text;
    }
  }
}

TEST(MovingCaptions, ThePluginRefusesOtherPrompts) {
  EXPECT_EQ(motion::parse_caption("  One Red\tcircle STAYS. ").actors.size(), 1U);
  EXPECT_EQ(motion::parse_caption("a red circle moves left then right").actors[0].legs.size(), 2U);
  for (const char* prompt : {"",
                             " ",
                             ".",
                             "a",
                             "a red",
                             "red circle grows",
                             "a red circle",
                             "a red circles grow",
                             "two red circles grow",
                             "a pink circle grows",
                             "a red circle moves",
                             "a red circle moves away",
                             "a red circle moves left then",
                             "a red circle moves left then left",
                             "a red circle turns",
                             "a red circle turns red",
                             "a red circle grows and",
                             "a red circle grows and a red square shrinks",
                             "a red circle turns blue and a blue circle stays",
                             "a blue circle stays and a red circle turns blue",
                             "a red circle turns blue and a cyan square turns blue",
                             "a red circle grows, please",
                             "a red circle grows then shrinks",
                             "a red circle grows and a blue square grows and a cyan square grows"}) {
    EXPECT_THROW(motion::parse_caption(prompt), std::invalid_argument) << prompt;
  }
}

std::string way_of(const std::string& text) {
  std::string way;
  std::istringstream stream(text);
  const std::vector<std::string>& colors = {scenes::color_names.begin(), scenes::color_names.end()};
  const std::vector<std::string>& shapes = {scenes::shape_names.begin(), scenes::shape_names.end()};
  for (std::string word; stream >> word;) {
    const bool named = std::find(colors.begin(), colors.end(), word) != colors.end() ||
                       std::find(shapes.begin(), shapes.end(), word) != shapes.end();
    way += named ? "" : word + ' ';
  }
  return way;
}

TEST(MovingCaptions, EveryWayOfActingIsHeldOutInItsShare) {
  std::map<std::string, std::array<std::size_t, 3>> ways;  // train, part 0, part 1
  for (const std::string& text : all_captions()) {
    ++ways[way_of(text)][static_cast<std::size_t>(held_out(text) ? 1 + held_out_part(text) : 0)];
  }
  EXPECT_EQ(ways.size(), 4U + 2 + 2 + 1 + 8 + 80);
  for (const auto& [way, counts] : ways) {
    const std::size_t all = counts[0] + counts[1] + counts[2];
    EXPECT_EQ(counts[1], counts[2]) << way;
    EXPECT_EQ(counts[1] + counts[2], all == 18 ? 4U : all / 16 * 2) << way;
  }
  // The split is part of every published number: these must never change.
  EXPECT_EQ(held_out_part("a cyan circle moves left"), 0);
  EXPECT_EQ(held_out_part("a red circle moves left"), 1);
  EXPECT_FALSE(held_out("a red square moves left"));
  EXPECT_THROW(held_out_part("a red square moves left"), Error);
}

// What is trained on names every colour and shape with every way of acting that is not of two.
TEST(MovingCaptions, TrainingLacksNoWord) {
  std::map<std::string, std::set<std::string>> words_of_way;
  for (const std::string& text : all_captions()) {
    if (held_out(text)) continue;
    std::istringstream stream(text);
    for (std::string word; stream >> word;) words_of_way[way_of(text)].insert(word);
  }
  for (const auto& [way, words] : words_of_way) {
    for (const std::string& color : scenes::color_names) EXPECT_TRUE(words.count(color)) << way << color;
    for (const std::string& shape : scenes::shape_names) EXPECT_TRUE(words.count(shape)) << way << shape;
  }
}

TEST(MovingCaptions, DrawsKeepSharesAndSides) {
  for (const int part : {0, 1}) {
    std::map<std::string, int> repeats;
    std::map<Kind, std::pair<int, int>> range;
    std::map<Kind, int> counts;
    for (const std::string& text : eval_captions(300, 5, part)) {
      EXPECT_TRUE(held_out(text) && held_out_part(text) == part) << text;
      ++repeats[text];
      ++counts[find_caption(text).kind];
    }
    for (const auto& [text, number] : repeats) {
      auto& [least, most] = range.try_emplace(find_caption(text).kind, number, number).first->second;
      least = std::min(least, number);
      most = std::max(most, number);
    }
    for (const KindShare& share : shares) {
      EXPECT_EQ(counts.at(share.kind), 3 * share.percent);
      EXPECT_LE(range[share.kind].second - range[share.kind].first, 1);
    }
  }
  for (const std::string& text : train_captions(300, 5)) EXPECT_FALSE(held_out(text)) << text;
  EXPECT_EQ(eval_captions(64, 1, 0), eval_captions(64, 1, 0));
  EXPECT_NE(eval_captions(64, 1, 0), eval_captions(64, 2, 0));
  EXPECT_EQ(eval_captions(7, 1, 1).size(), 7U);
  EXPECT_TRUE(train_captions(0, 1).empty());
  EXPECT_THROW(eval_captions(4, 0, 2), Error);
  EXPECT_THROW(eval_captions(-1, 0, 0), Error);
}

TEST(MovingCaptions, PromptFilesAreWhatTheProgramWrites) {
  EXPECT_EQ(lines_of("train.txt"), train_captions(2000, 0));
  EXPECT_EQ(lines_of("select.txt"), eval_captions(256, 0, 0));
  EXPECT_EQ(lines_of("eval.txt"), eval_captions(512, 0, 1));
}

}  // namespace
}  // namespace thalweg::moving_scenes
