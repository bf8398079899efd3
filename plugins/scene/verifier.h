// Finds the objects of a picture: connected foreground, its colour and its shape. No network, no libraries.
#pragma once

#include <cstdint>
#include <vector>

#include "../shapes/outline.h"
#include "caption.h"

namespace scene {

using shapes::kNothing;

/// One connected piece of foreground, of at least 30 pixels of a 64 x 64 picture.
struct Object {
  int color = kNothing;  ///< index into `shapes::color_words`; kNothing for another colour or a mixture
  int shape =
      kNothing;  ///< index into `shapes::shape_words`; kNothing for anything that is not clearly one of them
  float x = 0;   ///< centroid, as fractions of the picture's width and height
  float y = 0;
  // What the shape was judged by.
  float fill = 0;      ///< area / (width * height): square 1, circle 0.79, triangle 0.5
  float aspect = 0;    ///< longer side / shorter side
  float mismatch = 0;  ///< area of disagreement with the ideal shape / area
};

/// One thread at a time; an instance keeps its buffers between pictures.
class ObjectFinder {
 public:
  /// The objects of an RGB picture in [0,1] of three planes (3HW, row-major), in reading order of their first
  /// pixel; valid until the next call. Throws std::invalid_argument unless 8 <= height, width <= 16384.
  const std::vector<Object>& find(const float* rgb_3HW, std::int64_t height, std::int64_t width);

 private:
  shapes::Pieces pieces_;
  std::vector<Object> objects_;
};

/// Fills in all but the colour, with the centroid in pixels.
void judge_shape(const shapes::Outline& outline, Object& object);

}  // namespace scene
