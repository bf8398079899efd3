// How well the objects of a video's frames do what a caption says.
#pragma once

#include <array>
#include <vector>

#include "caption.h"
#include "objects.h"

namespace motion {

/// Columns of the reward. All lie in [0,1], more is better.
enum Dimension {
  kStrict,     ///< 1 where every check holds; equals (soft == 1)
  kSoft,       ///< partial credit
  kDirection,  ///< moves go where they should, straight and in order; NaN where nothing moves
  kEvent,      ///< appears, vanishes, turns, grows or shrinks; NaN where nothing does
  kColor,      ///< share of the frames with an object of the colour
  kShape,      ///< share of the frames with its shape
  kCount,      ///< share of the frames with the right number of objects
  kSteady,     ///< share of the frames without jumps, and without changes that nobody asked for
  kExtras,     ///< less for every object that nobody asked for
};
inline constexpr int kDimensions = 9;
inline constexpr std::array<const char*, kDimensions> dimension_names = {
    "strict", "soft", "direction", "event", "color", "shape", "count", "steady", "extras"};

using Scores = std::array<float, kDimensions>;

inline constexpr int kLeastFrames = 5;
inline constexpr int kMostFrames = 4096;  // the search for corners and events takes their square

/// Scores of one video of kLeastFrames to kMostFrames frames. See the README of this folder for the formulas.
Scores score_frames(const std::vector<std::vector<Object>>& objects_F, const Caption& caption);

}  // namespace motion
