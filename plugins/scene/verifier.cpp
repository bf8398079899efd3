#include "verifier.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace scene {

namespace {

constexpr float kLeastArea = 30.0F / (64 * 64);  // of the picture
constexpr float kLeastOwnShare = 0.70F;          // of the inside of a piece, by its colour

}  // namespace

const std::vector<Object>& ObjectFinder::find(const float* rgb_3HW, std::int64_t height, std::int64_t width) {
  if (height < 8 || width < 8 || height > 16384 || width > 16384) {
    throw std::invalid_argument("a picture of " + std::to_string(height) + " x " + std::to_string(width) +
                                "; the scene reward takes sides of 8 to 16384");
  }
  const auto least_area = static_cast<int>(std::ceil(kLeastArea * static_cast<float>(height * width)));
  objects_.clear();
  for (const shapes::Piece& piece :
       pieces_.find(rgb_3HW, static_cast<int>(height), static_cast<int>(width), least_area)) {
    Object object;
    object.color = pieces_.color(piece, kLeastOwnShare);
    judge_shape(shapes::Outline(pieces_, piece), object);
    object.x /= static_cast<float>(width);
    object.y /= static_cast<float>(height);
    objects_.push_back(object);
  }
  return objects_;
}

}  // namespace scene
