// The captions of the scenes world: what they can say, how often, and which of them are held out.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace thalweg::scenes {

inline constexpr int kColors = 6;
inline constexpr int kShapes = 3;

/// Index = `SceneObject::color` and `SceneObject::shape`.
extern const std::array<std::string, kColors> color_names;
extern const std::array<std::string, kShapes> shape_names;

/// The five sentences of the world; S stands for a shape, C for a colour.
enum class Family {
  kSingle,    ///< "a C S"
  kPair,      ///< "a C S and a C S"
  kCount,     ///< "three C Ss" (two, three or four)
  kRelation,  ///< "a C S left of a C S" (left of, right of, above or below)
  kMixed,     ///< "two C Ss and a C S"
};
inline constexpr int kFamilies = 5;

/// Share of each family among drawn captions, in percent, in the order of `Family`.
inline constexpr std::array<int, kFamilies> family_percent = {12, 22, 26, 28, 12};

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

/// The caption whose sentence is exactly `text`; throws Error where the world has no such caption.
Caption find_caption(const std::string& text);

/// Every caption of one family, in a fixed order.
std::vector<Caption> captions_of(Family family);

/// Every sentence that the world can produce (1,908 of them), sorted.
std::vector<std::string> all_captions();

/// Every word of every caption, sorted.
std::vector<std::string> vocabulary();

/// One caption in eight is held out of every training set. Depends on the sentence alone, on no machine.
bool held_out(const std::string& caption);

/// Held-out captions fall into two halves: 0 chooses a checkpoint, 1 reports it. Meaningless for the others.
int held_out_part(const std::string& caption);

/// `n` held-out captions of `part` (0 or 1) in the world's shares, each family's captions used equally often
/// (their counts differ by one at most). Throws Error for another part or a negative `n`.
std::vector<std::string> eval_captions(int n, std::uint64_t seed, int part);

/// As `eval_captions`, of the captions that are not held out.
std::vector<std::string> train_captions(int n, std::uint64_t seed);

}  // namespace thalweg::scenes
