#include "verifier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace scene {

namespace {

// RGB by `color_words`; a pixel has the colour of the nearest one within a distance of 0.3.
constexpr std::array<std::array<float, 3>, kColors> palette = {{{0.90F, 0.12F, 0.12F},
                                                                {0.10F, 0.70F, 0.15F},
                                                                {0.10F, 0.20F, 0.90F},
                                                                {0.95F, 0.85F, 0.10F},
                                                                {0.65F, 0.10F, 0.70F},
                                                                {0.10F, 0.80F, 0.90F}}};
constexpr float kMaxColorDistance2 = 0.09F;
constexpr float kMinSaturation = 0.25F;  // largest channel - least channel

// Every colour has one dark channel, so the least channel says how much of a pixel an object covers.
constexpr float kObjectLevel = 0.15F;
constexpr float kLeastGround = 0.85F;
constexpr float kUsualGround = 0.97F;
// Blurred rims are made steeper around a cover of a half, so that a soft picture has the measures of a sharp
// one; the ripple of a ground that is not quite even is gone by the same.
constexpr float kRimSteepness = 1.6F;

constexpr float kLeastArea = 30.0F / (64 * 64);  // of the picture

// Of the pixels inside a piece, away from its soft rim.
constexpr float kLeastOwnShare = 0.70F;
constexpr float kMostOtherShare = 0.04F;

int nearest_color(float red, float green, float blue) {
  const float most = std::max({red, green, blue}), least = std::min({red, green, blue});
  if (most - least <= kMinSaturation) return kNothing;
  int nearest = kNothing;
  float nearest_distance2 = kMaxColorDistance2;
  for (int color = 0; color < kColors; ++color) {
    const auto& rgb = palette[static_cast<std::size_t>(color)];
    const float r = red - rgb[0], g = green - rgb[1], b = blue - rgb[2];
    const float distance2 = r * r + g * g + b * b;
    if (distance2 < nearest_distance2) {
      nearest_distance2 = distance2;
      nearest = color;
    }
  }
  return nearest;
}

}  // namespace

const std::vector<Object>& ObjectFinder::find(const float* rgb_3HW, std::int64_t height, std::int64_t width) {
  if (height < 8 || width < 8 || height > 16384 || width > 16384) {
    throw std::invalid_argument("a picture of " + std::to_string(height) + " x " + std::to_string(width) +
                                "; the scene reward takes sides of 8 to 16384");
  }
  height_ = static_cast<int>(height);
  width_ = static_cast<int>(width);
  const auto pixels = static_cast<std::size_t>(height * width);
  cover_.resize(pixels);
  labels_.assign(pixels, 0);
  objects_.clear();
  measure_cover(rgb_3HW);
  const auto least_area = static_cast<int>(std::ceil(kLeastArea * static_cast<float>(pixels)));
  int label = 0;
  for (std::size_t start = 0; start < pixels; ++start) {
    if (labels_[start] != 0 || !(cover_[start] > 0.5F)) continue;
    int area = 0;
    const Box box = fill_piece(static_cast<int>(start), ++label, area);
    if (area >= least_area) objects_.push_back(judge(rgb_3HW, box, label));
  }
  return objects_;
}

void ObjectFinder::measure_cover(const float* rgb_3HW) {
  const std::size_t pixels = cover_.size();
  const float *red = rgb_3HW, *green = rgb_3HW + pixels, *blue = green + pixels;
  double sum = 0;
  std::size_t ground_pixels = 0;
  for (std::size_t i = 0; i < pixels; ++i) {
    cover_[i] = std::min(red[i], std::min(green[i], blue[i]));
    const bool ground = cover_[i] > kLeastGround;
    sum += ground ? static_cast<double>(cover_[i]) : 0.0;
    ground_pixels += ground ? 1 : 0;
  }
  const float level =
      ground_pixels > 0 ? static_cast<float>(sum / static_cast<double>(ground_pixels)) : kUsualGround;
  const float scale = 1.0F / (level - kObjectLevel);
  for (std::size_t i = 0; i < pixels; ++i) {
    const float cover = (level - cover_[i]) * scale;
    cover_[i] = std::clamp((cover - 0.5F) * kRimSteepness + 0.5F, 0.0F, 1.0F);
  }
}

// Neighbours share an edge: pieces that touch at a corner alone stay two.
ObjectFinder::Box ObjectFinder::fill_piece(int start, int label, int& area) {
  Box box{width_, height_, 0, 0};
  const auto visit = [&](int pixel) {
    const auto at = static_cast<std::size_t>(pixel);
    if (labels_[at] != 0 || !(cover_[at] > 0.5F)) return;
    labels_[at] = label;
    stack_.push_back(pixel);
  };
  visit(start);
  while (!stack_.empty()) {
    const int pixel = stack_.back();
    stack_.pop_back();
    const int x = pixel % width_, y = pixel / width_;
    box = {std::min(box.left, x), std::min(box.top, y), std::max(box.right, x + 1),
           std::max(box.bottom, y + 1)};
    ++area;
    if (x > 0) visit(pixel - 1);
    if (x + 1 < width_) visit(pixel + 1);
    if (y > 0) visit(pixel - width_);
    if (y + 1 < height_) visit(pixel + width_);
  }
  return box;
}

Object ObjectFinder::judge(const float* rgb_3HW, const Box& box, int label) {
  Object object;
  object.color = judge_color(rgb_3HW, box, label);
  judge_shape({std::max(box.left - 1, 0), std::max(box.top - 1, 0), std::min(box.right + 1, width_),
               std::min(box.bottom + 1, height_)},
              label, object);
  return object;
}

// One colour must fill nearly all of the inside: a piece of two colours has none.
int ObjectFinder::judge_color(const float* rgb_3HW, const Box& box, int label) const {
  const std::size_t plane = cover_.size();
  const auto line = static_cast<std::size_t>(width_);
  std::array<int, kColors> counts{};
  int inside = 0;
  for (int y = std::max(box.top, 1); y < std::min(box.bottom, height_ - 1); ++y) {
    for (int x = std::max(box.left, 1); x < std::min(box.right, width_ - 1); ++x) {
      const std::size_t i = static_cast<std::size_t>(y) * line + static_cast<std::size_t>(x);
      if (labels_[i] != label || labels_[i - 1] != label || labels_[i + 1] != label ||
          labels_[i - line] != label || labels_[i + line] != label) {
        continue;
      }
      ++inside;
      const int color = nearest_color(rgb_3HW[i], rgb_3HW[plane + i], rgb_3HW[2 * plane + i]);
      if (color != kNothing) ++counts[static_cast<std::size_t>(color)];
    }
  }
  const auto most = std::max_element(counts.begin(), counts.end());
  int others = -*most;
  for (const int count : counts) others += count;
  const auto share = [inside](int count) { return static_cast<float>(count) / static_cast<float>(inside); };
  if (inside == 0 || share(*most) < kLeastOwnShare || share(others) > kMostOtherShare) return kNothing;
  return static_cast<int>(most - counts.begin());
}

}  // namespace scene
