#include "outline.h"

namespace shapes {

Outline::Outline(const Pieces& of, const Piece& piece)
    : pieces(of),
      box{std::max(piece.box.left - 1, 0), std::max(piece.box.top - 1, 0),
          std::min(piece.box.right + 1, of.width()), std::min(piece.box.bottom + 1, of.height())},
      label(piece.label) {
  std::vector<float> columns(static_cast<std::size_t>(box.right - box.left), 0.0F);
  for (int row = box.top; row < box.bottom; ++row) {
    float sum = 0;
    for (int column = box.left; column < box.right; ++column) {
      const float value = cover(column, row);
      sum += value;
      columns[static_cast<std::size_t>(column - box.left)] += value;
      x += value * (static_cast<float>(column) + 0.5F);
    }
    y += sum * (static_cast<float>(row) + 0.5F);
    area += sum;
    width = std::max(width, sum);
  }
  height = *std::max_element(columns.begin(), columns.end());
  x /= area;
  y /= area;
}

}  // namespace shapes
