// What a prompt asks for, read from its text. The grammar holds every caption of the scenes world and a few
// more of the same making:
//   prompt = group | group ("and" group){1,3} | group relation group     (a final full stop may follow)
//   group  = ("a" | "one") COLOUR SHAPE | ("two" | "three" | "four") COLOUR SHAPE"s"
//   relation = "left of" | "right of" | "above" | "below"
#pragma once

#include <string_view>
#include <vector>

#include "../shapes/words.h"

namespace scene {

using shapes::kColors;
using shapes::kShapes;

/// `count` objects of one colour and shape (indices into the words of `shapes`).
struct Group {
  int color = 0;
  int shape = 0;
  int count = 1;
};

enum class Relation { kNone, kLeftOf, kRightOf, kAbove, kBelow };

struct Caption {
  std::vector<Group> groups;            ///< 1 to 4, no two alike in colour and shape
  Relation relation = Relation::kNone;  ///< of each object of the first group to each of the second
};

/// Upper and lower case are alike, and so is any amount of white space. Throws std::invalid_argument, with
/// the offending word, where the prompt lies outside the grammar.
Caption parse_caption(std::string_view prompt);

}  // namespace scene
