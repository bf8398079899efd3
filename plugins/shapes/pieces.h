// The connected pieces of foreground of a picture on a near-white ground, and their colours.
#pragma once

#include <cstddef>
#include <vector>

#include "words.h"

namespace shapes {

inline constexpr int kNothing = -1;

/// In pixels; right and bottom are one past.
struct Box {
  int left, top, right, bottom;
};

struct Piece {
  Box box;
  int label;
  int area;  ///< in whole pixels
};

/// Blurred rims are made steeper around a cover of a half, so that a soft picture has the measures of a sharp
/// one; the ripple of a ground that is not quite even is gone by the same.
float steepen(float cover);

/// One thread at a time; an instance keeps its buffers between pictures.
class Pieces {
 public:
  /// The pieces of at least `least_area` pixels of an RGB picture in [0,1] of three planes (3HW, row-major),
  /// in reading order of their first pixel; valid until the next call. The picture must outlive what is asked
  /// of its pieces.
  const std::vector<Piece>& find(const float* rgb_3HW, int height, int width, int least_area);

  /// The colour, an index into `color_words`, that fills at least `least_own` of the piece's inside, away
  /// from its soft rim, while another one fills 4 % at most; kNothing where none does.
  int color(const Piece& piece, float least_own) const;

  /// How much of a pixel the piece `label` covers, in [0,1]: its pixels, and the rim that touches them.
  float cover(int label, int column, int row) const;

  int width() const { return width_; }
  int height() const { return height_; }

 private:
  void measure_cover();
  Piece fill_piece(int start, int label);

  const float* rgb_ = nullptr;
  int height_ = 0;
  int width_ = 0;
  std::vector<float> cover_;  // 0 = ground, 1 = fully inside an object
  std::vector<int> labels_;   // 0 = ground or not yet visited
  std::vector<int> stack_;
  std::vector<Piece> pieces_;
};

}  // namespace shapes
