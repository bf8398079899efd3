// The objects of one frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../shapes/outline.h"

namespace motion {

/// Lengths are in units: 32 to the shorter side of the frame, whatever its size.
struct Object {
  int color =
      shapes::kNothing;  ///< index into `shapes::color_words`; kNothing for another colour or a mixture
  int shape =
      shapes::kNothing;  ///< index into `shapes::shape_words`; kNothing where none is clearly the nearest
  float x = 0;           ///< centroid
  float y = 0;
  float area = 0;
  // What the shape was judged by.
  float error = 0;   ///< area of disagreement with the nearest shape / area
  float margin = 0;  ///< how much nearer it is than the next, as a share of the way between the two
};

inline constexpr std::int64_t kLeastSide = 32;
inline constexpr std::int64_t kMostSide = 16384;

/// One thread at a time; an instance keeps its buffers between frames.
class ObjectFinder {
 public:
  /// The objects of an RGB frame in [0,1] of three planes (3HW, row-major), in reading order of their first
  /// pixel. Both sides are kLeastSide to kMostSide.
  std::vector<Object> find(const float* rgb_3HW, std::int64_t height, std::int64_t width);

 private:
  const float* reduce(const float* rgb_3HW, int factor, int& height, int& width);
  void judge_shape(const shapes::Outline& outline, Object& object);
  void draw_ideals(int shape, const shapes::Outline& outline);
  void copy_cover(const shapes::Outline& outline);

  static constexpr std::size_t kSoftenings = 3;  // sharp, and softened once and twice

  shapes::Pieces pieces_;
  std::vector<float> reduced_;
  std::vector<float> found_;  // cover of a piece, in its box and a margin
  std::array<std::array<std::vector<float>, shapes::kShapes>, kSoftenings>
      ideals_;  // the same of ideal shapes
  std::vector<float> soft_, buffer_;
};

}  // namespace motion
