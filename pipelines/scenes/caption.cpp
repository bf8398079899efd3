#include "pipelines/scenes/caption.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <utility>

#include "engine/core/error.h"
#include "pipelines/scenes/draw.h"

namespace thalweg::scenes {

namespace {

constexpr const char* kPlace = "pipelines/scenes";
constexpr std::array<const char*, 5> count_words = {"", "a", "two", "three", "four"};
constexpr std::array<const char*, 5> relation_words = {"and", "left of", "right of", "above", "below"};

std::string kind_text(const Kind& kind) {
  std::string text = count_words.at(static_cast<std::size_t>(kind.count));
  text += ' ' + color_names.at(static_cast<std::size_t>(kind.color));
  text += ' ' + shape_names.at(static_cast<std::size_t>(kind.shape));
  if (kind.count > 1) text += 's';
  return text;
}

std::vector<Kind> kinds_of(int count) {
  std::vector<Kind> kinds;
  for (int color = 0; color < kColors; ++color) {
    for (int shape = 0; shape < kShapes; ++shape) kinds.push_back({color, shape, count});
  }
  return kinds;
}

using Counts = std::vector<std::pair<int, int>>;  // of the first and the second kind

const std::vector<Relation> any_relation = {Relation::kLeftOf, Relation::kRightOf, Relation::kAbove,
                                            Relation::kBelow};

std::vector<Caption> pairs_of(Family family, const Counts& counts, const std::vector<Relation>& relations) {
  std::vector<Caption> captions;
  for (const auto& [first_count, second_count] : counts) {
    for (const Relation relation : relations) {
      for (const Kind& first : kinds_of(first_count)) {
        for (const Kind& second : kinds_of(second_count)) {
          if (first.color == second.color && first.shape == second.shape) continue;
          captions.push_back({family, {first, second}, relation});
        }
      }
    }
  }
  return captions;
}

// 176 is the first salt in counting upward for which every family has captions in both held-out parts, near
// its share.
std::uint64_t caption_hash(const std::string& text) {
  return hash_text(text, 176);
}

std::vector<std::string> draw_captions(int n, std::uint64_t seed, Split split,
                                       const std::function<bool(const std::string&)>& wanted) {
  std::vector<CaptionPool> pools;
  for (const FamilyShare& share : shares_of(split)) {
    CaptionPool pool{share.percent, {}};
    for (const Caption& caption : captions_of(share.family)) {
      std::string text = to_text(caption);
      if (wanted(text)) pool.texts.push_back(std::move(text));
    }
    pools.push_back(std::move(pool));
  }
  return draw_from(std::move(pools), n, seed);
}

std::unordered_map<std::string, Caption> index_captions() {
  std::unordered_map<std::string, Caption> index;
  for (const Split split : {Split::kWorld, Split::kHard}) {
    for (const FamilyShare& share : shares_of(split)) {
      for (Caption& caption : captions_of(share.family)) {
        std::string text = to_text(caption);
        index.emplace(std::move(text), std::move(caption));
      }
    }
  }
  return index;
}

}  // namespace

std::span<const FamilyShare> shares_of(Split split) {
  if (split == Split::kHard) return hard_shares;
  return world_shares;
}

std::string to_text(const Caption& caption) {
  std::string text = kind_text(caption.kinds.at(0));
  if (caption.kinds.size() == 2) {
    text += std::string(" ") + relation_words.at(static_cast<std::size_t>(caption.relation)) + " " +
            kind_text(caption.kinds[1]);
  }
  return text;
}

Caption find_caption(const std::string& text) {
  static const std::unordered_map<std::string, Caption> index = index_captions();
  const auto found = index.find(text);
  if (found == index.end()) {
    throw Error(kPlace, "\"" + text + "\" is no caption of the scenes world; \"a red circle\" is one");
  }
  return found->second;
}

std::vector<Caption> captions_of(Family family) {
  std::vector<Caption> captions;
  switch (family) {
    case Family::kSingle:
      for (const Kind& kind : kinds_of(1)) captions.push_back({family, {kind}, Relation::kNone});
      break;
    case Family::kPair:
      return pairs_of(family, {{1, 1}}, {Relation::kNone});
    case Family::kCount:
      for (int count = 2; count <= 4; ++count) {
        for (const Kind& kind : kinds_of(count)) captions.push_back({family, {kind}, Relation::kNone});
      }
      break;
    case Family::kRelation:
      return pairs_of(family, {{1, 1}}, any_relation);
    case Family::kMixed:
      return pairs_of(family, {{2, 1}}, {Relation::kNone});
    case Family::kRelationOfThree:
      return pairs_of(family, {{2, 1}, {1, 2}}, any_relation);
    case Family::kRelationOfFour:
      return pairs_of(family, {{3, 1}, {1, 3}, {2, 2}}, any_relation);
    case Family::kFour:
      return pairs_of(family, {{3, 1}, {1, 3}, {2, 2}}, {Relation::kNone});
    case Family::kFive:
      return pairs_of(family, {{4, 1}, {1, 4}}, {Relation::kNone});
  }
  return captions;
}

std::vector<std::string> all_captions(Split split) {
  std::vector<std::string> texts;
  for (const FamilyShare& share : shares_of(split)) {
    for (const Caption& caption : captions_of(share.family)) texts.push_back(to_text(caption));
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

std::vector<std::string> vocabulary() {
  return words_of(all_captions());
}

bool held_out(const std::string& caption) {
  return caption_hash(caption) % 8 == 0;
}

int held_out_part(const std::string& caption) {
  return static_cast<int>(caption_hash(caption) / 8 % 2);
}

std::vector<std::string> eval_captions(int n, std::uint64_t seed, int part, Split split) {
  if (part != 0 && part != 1) {
    throw Error(kPlace, "held-out captions have the parts 0 and 1, not " + std::to_string(part));
  }
  return draw_captions(n, seed, split, [part](const std::string& text) {
    return held_out(text) && held_out_part(text) == part;
  });
}

std::vector<std::string> train_captions(int n, std::uint64_t seed, Split split) {
  return draw_captions(n, seed, split, [](const std::string& text) { return !held_out(text); });
}

}  // namespace thalweg::scenes
