#include "pieces.h"

#include <algorithm>
#include <array>

namespace shapes {

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
constexpr float kMostOtherShare = 0.04F;

// Every colour has one dark channel, so the least channel says how much of a pixel an object covers.
constexpr float kObjectLevel = 0.15F;
constexpr float kLeastGround = 0.85F;
constexpr float kUsualGround = 0.97F;
constexpr float kRimSteepness = 1.6F;

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

float steepen(float cover) {
  return std::clamp((cover - 0.5F) * kRimSteepness + 0.5F, 0.0F, 1.0F);
}

const std::vector<Piece>& Pieces::find(const float* rgb_3HW, int height, int width, int least_area) {
  rgb_ = rgb_3HW;
  height_ = height;
  width_ = width;
  const std::size_t pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  cover_.resize(pixels);
  labels_.assign(pixels, 0);
  pieces_.clear();
  measure_cover();
  int label = 0;
  for (std::size_t start = 0; start < pixels; ++start) {
    if (labels_[start] != 0 || !(cover_[start] > 0.5F)) continue;
    const Piece piece = fill_piece(static_cast<int>(start), ++label);
    if (piece.area >= least_area) pieces_.push_back(piece);
  }
  return pieces_;
}

void Pieces::measure_cover() {
  const std::size_t pixels = cover_.size();
  const float *red = rgb_, *green = rgb_ + pixels, *blue = green + pixels;
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
  for (std::size_t i = 0; i < pixels; ++i) cover_[i] = steepen((level - cover_[i]) * scale);
}

// Neighbours share an edge: pieces that touch at a corner alone stay two.
Piece Pieces::fill_piece(int start, int label) {
  Box box{width_, height_, 0, 0};
  int area = 0;
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
  return {box, label, area};
}

// One colour must fill nearly all of the inside: a piece of two colours has none.
int Pieces::color(const Piece& piece, float least_own) const {
  const auto& [box, label, area] = piece;
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
      const int color = nearest_color(rgb_[i], rgb_[plane + i], rgb_[2 * plane + i]);
      if (color != kNothing) ++counts[static_cast<std::size_t>(color)];
    }
  }
  const auto most = std::max_element(counts.begin(), counts.end());
  int others = -*most;
  for (const int count : counts) others += count;
  const auto share = [inside](int count) { return static_cast<float>(count) / static_cast<float>(inside); };
  if (inside == 0 || share(*most) < least_own || share(others) > kMostOtherShare) return kNothing;
  return static_cast<int>(most - counts.begin());
}

// The rim is ground by its label, and touches the piece along an edge or a corner.
float Pieces::cover(int label, int column, int row) const {
  const auto line = static_cast<std::size_t>(width_);
  const std::size_t at = static_cast<std::size_t>(row) * line + static_cast<std::size_t>(column);
  if (labels_[at] == label) return cover_[at];
  if (labels_[at] != 0 || cover_[at] > 0.5F || cover_[at] == 0.0F) return 0;
  for (int v = std::max(row - 1, 0); v <= std::min(row + 1, height_ - 1); ++v) {
    for (int u = std::max(column - 1, 0); u <= std::min(column + 1, width_ - 1); ++u) {
      if (labels_[static_cast<std::size_t>(v) * line + static_cast<std::size_t>(u)] == label)
        return cover_[at];
    }
  }
  return 0;
}

}  // namespace shapes
