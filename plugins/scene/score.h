// How well the objects of a picture answer a caption.
#pragma once

#include <array>
#include <vector>

#include "caption.h"
#include "verifier.h"

namespace scene {

/// Columns of the reward. All lie in [0,1], more is better, and an empty picture has 0 in each.
enum Dimension {
  kStrict,    ///< 1 where everything asked for is there, exactly, and nothing else; equals (soft == 1)
  kSoft,      ///< partial credit, less for every extra object
  kCount,     ///< number of objects, of whatever kind
  kColor,     ///< share of the objects with a colour that was asked for
  kShape,     ///< the same of shapes
  kPosition,  ///< share of pairs in the relation; NaN for a caption without one
  kExtras,    ///< 1 / (1 + extra objects / 2)
};
inline constexpr int kDimensions = 7;
inline constexpr std::array<const char*, kDimensions> dimension_names = {
    "strict", "soft", "count", "color", "shape", "position", "extras"};

using Scores = std::array<float, kDimensions>;

/// Scores of one picture. See the README of this folder for the formulas.
Scores score_objects(const std::vector<Object>& objects, const Caption& caption);

}  // namespace scene
