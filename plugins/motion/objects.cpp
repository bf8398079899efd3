#include "objects.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

namespace motion {

namespace {

constexpr int kUnits = 32;       // to the shorter side
constexpr float kLeastArea = 6;  // in square units
constexpr float kLeastOwnShare =
    0.5;  // of the inside of a piece, by its colour: small objects are mostly rim

// The nearest shape must be near, and clearly nearer than the next: by this share of the way between those
// two. A squircle lies as far from a circle as from a square, and is neither. A codec softens rims and rounds
// corners, so the ideal shapes are softened too, as far as fits best.
// By shapes::Shape.
struct Limits {
  float most_error, least_margin;
};
constexpr std::array<Limits, shapes::kShapes> limits = {{{0.10F, 0.55F}, {0.10F, 0.45F}, {0.16F, 0.45F}}};
constexpr int kMargin = 2;  // pixels around a piece, for softened ideal shapes

// By the binomial kernel 1 2 1, both ways; what lies outside is ground.
void soften(std::vector<float>& cover, std::vector<float>& buffer, std::size_t width) {
  buffer.resize(cover.size());
  const std::size_t last = cover.size() - 1;
  for (std::size_t i = 0; i <= last; ++i) {
    buffer[i] = 0.25F * ((i > 0 ? cover[i - 1] : 0.0F) + (i < last ? cover[i + 1] : 0.0F)) + 0.5F * cover[i];
  }
  for (std::size_t i = 0; i <= last; ++i) {
    cover[i] =
        0.25F * ((i >= width ? buffer[i - width] : 0.0F) + (i + width <= last ? buffer[i + width] : 0.0F)) +
        0.5F * buffer[i];
  }
}

float difference(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum;
}

struct Sides {
  float width, height;
};

// Of the ideal shape with this area.
Sides sides_of(int shape, float area) {
  const float square = std::sqrt(area / shapes::ideal_fill[static_cast<std::size_t>(shape)]);
  // The world's triangles are a tenth less high than wide.
  const float stretch = shape == shapes::kTriangle ? std::sqrt(0.9F) : 1.0F;
  return {square / stretch, square * stretch};
}

}  // namespace

// Means of factor x factor pixels, fewer at the right and lower edge.
const float* ObjectFinder::reduce(const float* rgb_3HW, int factor, int& height, int& width) {
  if (factor == 1) return rgb_3HW;
  const int rows = (height + factor - 1) / factor, columns = (width + factor - 1) / factor;
  reduced_.assign(3 * static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns), 0.0F);
  float* out = reduced_.data();
  for (int channel = 0; channel < 3; ++channel) {
    for (int row = 0; row < height; ++row) {
      float* line = out + static_cast<std::size_t>(row / factor) * static_cast<std::size_t>(columns);
      for (int column = 0; column < width; ++column) line[column / factor] += *rgb_3HW++;
    }
    for (int row = 0; row < rows; ++row) {
      const int high = std::min(factor, height - row * factor);
      for (int column = 0; column < columns; ++column) {
        *out++ /= static_cast<float>(high * std::min(factor, width - column * factor));
      }
    }
  }
  height = rows;
  width = columns;
  return reduced_.data();
}

std::vector<Object> ObjectFinder::find(const float* rgb_3HW, std::int64_t height, std::int64_t width) {
  const float side = static_cast<float>(std::min(height, width));
  const auto factor = static_cast<int>(std::min(height, width) / kUnits);
  int rows = static_cast<int>(height), columns = static_cast<int>(width);
  const float* frame = reduce(rgb_3HW, factor, rows, columns);
  const float unit = side / static_cast<float>(factor * kUnits);  // in pixels: 1 to 2
  std::vector<Object> objects;
  for (const shapes::Piece& piece :
       pieces_.find(frame, rows, columns, static_cast<int>(std::ceil(kLeastArea * unit * unit)))) {
    const shapes::Outline outline(pieces_, piece);
    Object object;
    object.color = pieces_.color(piece, kLeastOwnShare);
    object.x = outline.x / unit;
    object.y = outline.y / unit;
    object.area = outline.area / (unit * unit);
    judge_shape(outline, object);
    objects.push_back(object);
  }
  return objects;
}

// The ideal shape of the piece's area and centroid, and the same softened, in their places of `ideals_`.
void ObjectFinder::draw_ideals(int shape, const shapes::Outline& outline) {
  const auto& box = outline.box;
  const Sides sides = sides_of(shape, outline.area);
  soft_.clear();
  for (int row = box.top - kMargin; row < box.bottom + kMargin; ++row) {
    for (int column = box.left - kMargin; column < box.right + kMargin; ++column) {
      const float x = static_cast<float>(column) + 0.5F - outline.x,
                  y = static_cast<float>(row) + 0.5F - outline.y;
      soft_.push_back(shapes::ideal_cover(shape, x, y, sides.width, sides.height));
    }
  }
  for (std::size_t softening = 0; softening < kSoftenings; ++softening) {
    if (softening > 0) soften(soft_, buffer_, static_cast<std::size_t>(box.right - box.left + 2 * kMargin));
    auto& ideal = ideals_[softening][static_cast<std::size_t>(shape)];
    ideal.resize(soft_.size());
    std::transform(soft_.begin(), soft_.end(), ideal.begin(), shapes::steepen);
  }
}

void ObjectFinder::copy_cover(const shapes::Outline& outline) {
  const auto& box = outline.box;
  const int width = box.right - box.left + 2 * kMargin, height = box.bottom - box.top + 2 * kMargin;
  found_.assign(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), 0.0F);
  for (int row = box.top; row < box.bottom; ++row) {
    float* line = &found_[static_cast<std::size_t>((row - box.top + kMargin) * width + kMargin)];
    for (int column = box.left; column < box.right; ++column) *line++ = outline.cover(column, row);
  }
}

void ObjectFinder::judge_shape(const shapes::Outline& outline, Object& object) {
  copy_cover(outline);
  for (int shape = 0; shape < shapes::kShapes; ++shape) draw_ideals(shape, outline);
  // By the softening whose nearest shape is the nearest of all.
  std::array<float, shapes::kShapes> errors{};
  std::size_t best = 0, nearest = 0;
  object.error = std::numeric_limits<float>::infinity();
  for (std::size_t softening = 0; softening < kSoftenings; ++softening) {
    std::array<float, shapes::kShapes> here{};
    for (std::size_t shape = 0; shape < here.size(); ++shape) {
      here[shape] = difference(found_, ideals_[softening][shape]) / outline.area;
    }
    const auto least = std::min_element(here.begin(), here.end());
    if (*least >= object.error) continue;
    object.error = *least;
    errors = here;
    best = softening;
    nearest = static_cast<std::size_t>(least - here.begin());
  }
  object.margin = std::numeric_limits<float>::infinity();
  for (std::size_t shape = 0; shape < errors.size(); ++shape) {
    if (shape == nearest) continue;
    const float between = difference(ideals_[best][nearest], ideals_[best][shape]) / outline.area;
    object.margin = std::min(object.margin, (errors[shape] - object.error) / between);
  }
  const Limits& limit = limits[nearest];
  if (object.error < limit.most_error && object.margin > limit.least_margin) {
    object.shape = static_cast<int>(nearest);
  }
}

}  // namespace motion
