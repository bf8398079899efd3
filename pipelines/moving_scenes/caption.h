// The captions of the world of moving scenes: what they can say, how often, and which of them are held out.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "pipelines/scenes/palette.h"

namespace thalweg::moving_scenes {

/// The sentences of the world; S stands for a shape, C for a colour, D for a direction.
enum class Kind {
  kMove,  ///< "a C S moves D"
  kSize,  ///< "a C S grows", "a C S shrinks"
  kPop,   ///< "a C S appears", "a C S vanishes"
  kTurn,  ///< "a C S turns C"
  kThen,  ///< "a C S moves D then D": the second direction at a right angle to the first
  kTwo,   ///< "a C S moves D and a C S grows": any two actions but turns and paths, not both "stays"
};

/// A kind and its percentage among drawn captions.
struct KindShare {
  Kind kind;
  int percent;
};
inline constexpr std::array<KindShare, 6> shares = {{{Kind::kMove, 33},
                                                     {Kind::kSize, 16},
                                                     {Kind::kPop, 15},
                                                     {Kind::kTurn, 13},
                                                     {Kind::kThen, 8},
                                                     {Kind::kTwo, 15}}};

/// By the kinds' order: "move", "size", "pop", "turn", "then", "two".
inline constexpr std::array<const char*, shares.size()> kind_names = {"move", "size", "pop",
                                                                      "turn", "then", "two"};

enum class Direction { kLeft, kRight, kUp, kDown };
enum class Verb { kMoves, kMovesThen, kGrows, kShrinks, kAppears, kVanishes, kTurns, kStays };

/// What one object does.
struct Action {
  Verb verb = Verb::kStays;
  Direction direction = Direction::kLeft;  ///< of kMoves and kMovesThen
  Direction then = Direction::kLeft;       ///< of kMovesThen
  int color = 0;                           ///< of kTurns: the new colour
};

struct Actor {
  int color = 0;
  int shape = 0;
  Action action;
};

/// What a caption says. Two actors of one caption never agree in colour.
struct Caption {
  Kind kind = Kind::kMove;
  std::vector<Actor> actors;  ///< one or two
};

/// The sentence: lower case, single spaces, no full stop, at most 11 words.
std::string to_text(const Caption& caption);

/// The caption whose sentence is exactly `text`; throws Error where there is none.
const Caption& find_caption(const std::string& text);

/// Every caption of one kind, in a fixed order: 72, 36, 36, 90, 144 and 21,600.
const std::vector<Caption>& captions_of(Kind kind);

/// Every sentence of the world (21,978), sorted.
std::vector<std::string> all_captions();

/// Every word of every caption (23), sorted: what a tokenizer for this world must know.
std::vector<std::string> vocabulary();

/// Held-out captions are in no training set. Of each way of acting (a kind with its verbs and directions)
/// those with the least hashes are held out: one in eight, or four where that is fewer, so that no kind is
/// without. Throws Error for a text that is no caption.
bool held_out(const std::string& caption);

/// Held-out captions fall into two halves, of each way of acting: 0 chooses a checkpoint, 1 reports it.
/// Throws Error for a caption that is not held out.
int held_out_part(const std::string& caption);

/// `n` held-out captions of `part` (0 or 1) in the world's shares, each kind's captions used equally often
/// (their counts differ by one at most). Throws Error for another part or a negative `n`.
std::vector<std::string> eval_captions(int n, std::uint64_t seed, int part);

/// As `eval_captions`, of the captions that are not held out.
std::vector<std::string> train_captions(int n, std::uint64_t seed);

}  // namespace thalweg::moving_scenes
