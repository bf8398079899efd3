// Pictures on one sheet, for people: as large as fits a screen, a browser and TensorBoard, whatever their
// size and number.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace thalweg {

inline constexpr int64_t kMaxSheetSide = 4096;  // pixels

/// `columns` pictures wide (more where a sheet of so many rows would be too tall, fewer where there are
/// fewer pictures), each at 1 / `shrink` of its size: the smallest whole number at which all fit. Below 32
/// pixels a picture shows nothing, so it is not shrunk to that: what then does not fit is left out, last
/// pictures first.
struct SheetLayout {
  int64_t count = 0;  // pictures asked for
  int64_t shown = 0, columns = 1, shrink = 1;

  /// What is not as it was, for people: "at 1/3 of their size", "the first 100 of 2000"; empty: nothing.
  std::string note() const;
};

/// Of `count` >= 1 pictures of height x width.
SheetLayout sheet_layout(int64_t count, int64_t height, int64_t width, int64_t columns = 8);

/// frames_N3HW (floats or levels, see image.h) at 1 / `factor` of their size, rounded up: means over squares
/// of pixels, clamped to [0,1], NaN as 0. Float32 on the CPU.
at::Tensor shrunk(const at::Tensor& frames_N3HW, int64_t factor);

/// How many frames of a clip a sheet shows, and how many pictures a row then has, so that none is torn.
int64_t clip_frames_shown(int64_t frames);
int64_t clip_columns(int64_t frames);

/// Those frames of clips frames_NF3HW, evenly spaced from the first to the last, one clip after the other:
/// [N * clip_frames_shown(F),3,H,W].
at::Tensor clip_frames(const at::Tensor& frames_NF3HW);

/// frames_N3HW (floats or levels, any device) row by row on white, as `layout` says; pictures that were
/// shrunk before are laid out as they are. Returns [3,H',W'], no side above kMaxSheetSide. Throws Error for
/// another shape, or none.
at::Tensor contact_sheet(const at::Tensor& frames_N3HW, int64_t columns = 8);

}  // namespace thalweg
