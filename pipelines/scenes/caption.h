// The captions of the scenes world: what they can say, how often, and which of them are held out.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipelines/scenes/palette.h"

namespace thalweg::scenes {

/// The sentences of the world, and behind them those of the hard split; S stands for a shape, C for a colour.
enum class Family {
  kSingle,           ///< "a C S"
  kPair,             ///< "a C S and a C S"
  kCount,            ///< "three C Ss" (two, three or four)
  kRelation,         ///< "a C S left of a C S" (left of, right of, above or below)
  kMixed,            ///< "two C Ss and a C S"
  kRelationOfThree,  ///< "two C Ss left of a C S", "a C S left of two C Ss": each of these of each of those
  kRelationOfFour,   ///< three and one, one and three, or two and two
  kFour,             ///< "three C Ss and a C S", "a C S and three C Ss", "two C Ss and two C Ss"
  kFive,             ///< "four C Ss and a C S", "a C S and four C Ss"
};

/// What captions are drawn from. The world is what the embedded model was trained on; the hard split has the
/// same words in no longer sentences, which it never saw and seldom draws right.
enum class Split { kWorld, kHard };

/// A family and its percentage among the drawn captions of a split.
struct FamilyShare {
  Family family;
  int percent;
};
inline constexpr std::array<FamilyShare, 5> world_shares = {{{Family::kSingle, 12},
                                                             {Family::kPair, 22},
                                                             {Family::kCount, 26},
                                                             {Family::kRelation, 28},
                                                             {Family::kMixed, 12}}};
inline constexpr std::array<FamilyShare, 4> hard_shares = {{{Family::kRelationOfThree, 35},
                                                            {Family::kRelationOfFour, 20},
                                                            {Family::kFour, 30},
                                                            {Family::kFive, 15}}};
std::span<const FamilyShare> shares_of(Split split);

enum class Relation { kNone, kLeftOf, kRightOf, kAbove, kBelow };

/// `count` objects that share a colour and a shape.
struct Kind {
  int color = 0;
  int shape = 0;
  int count = 1;
};

/// What a caption says. Two kinds of one caption never agree in colour and shape both.
struct Caption {
  Family family = Family::kSingle;
  std::vector<Kind> kinds;  ///< one or two
  Relation relation = Relation::kNone;
};

/// The sentence, lower case, single spaces, no full stop.
std::string to_text(const Caption& caption);

/// The caption, of either split, whose sentence is exactly `text`; throws Error where there is none.
Caption find_caption(const std::string& text);

/// Every caption of one family, in a fixed order.
std::vector<Caption> captions_of(Family family);

/// Every sentence of a split (1,908 and 7,650), sorted. No sentence is of both.
std::vector<std::string> all_captions(Split split = Split::kWorld);

/// Every word of every caption, sorted; the hard split has no word of its own.
std::vector<std::string> vocabulary();

/// One caption in eight is held out of every training set. Depends on the sentence alone, on no machine.
bool held_out(const std::string& caption);

/// Held-out captions fall into two halves: 0 chooses a checkpoint, 1 reports it. Meaningless for the others.
int held_out_part(const std::string& caption);

/// `n` held-out captions of `part` (0 or 1) in the split's shares, each family's captions used equally often
/// (their counts differ by one at most). Throws Error for another part or a negative `n`.
std::vector<std::string> eval_captions(int n, std::uint64_t seed, int part, Split split = Split::kWorld);

/// As `eval_captions`, of the captions that are not held out.
std::vector<std::string> train_captions(int n, std::uint64_t seed, Split split = Split::kWorld);

}  // namespace thalweg::scenes
