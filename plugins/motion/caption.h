// What a prompt asks for, read from its text. The grammar holds every caption of the world of moving scenes
// and a few more of the same making:
//   prompt = object | object "and" object             (two colours that differ; a final full stop may follow)
//   object = ("a" | "one") COLOUR SHAPE action
//   action = "moves" DIRECTION | "moves" DIRECTION "then" DIRECTION | "grows" | "shrinks" | "appears" |
//            "vanishes" | "turns" COLOUR | "stays"
#pragma once

#include <string_view>
#include <vector>

#include "../shapes/words.h"

namespace motion {

enum class Verb { kMoves, kGrows, kShrinks, kAppears, kVanishes, kTurns, kStays };
enum class Direction { kLeft, kRight, kUp, kDown };

/// Colours and shapes are indices into the words of `shapes`.
struct Actor {
  int color = 0;
  int shape = 0;
  Verb verb = Verb::kStays;
  std::vector<Direction> legs;  ///< of kMoves: one, or two that differ
  int new_color = 0;            ///< of kTurns

  bool pops() const { return verb == Verb::kAppears || verb == Verb::kVanishes; }
  bool resizes() const { return verb == Verb::kGrows || verb == Verb::kShrinks; }
};

struct Caption {
  std::vector<Actor> actors;  ///< one or two; no colour, old or new, is of both
};

/// Upper and lower case are alike, and so is any amount of white space. Throws std::invalid_argument, with
/// the offending word, where the prompt lies outside the grammar.
Caption parse_caption(std::string_view prompt);

}  // namespace motion
