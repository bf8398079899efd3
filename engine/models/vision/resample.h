// Resizing as Pillow does it: each output sample is a weighted mean of the inputs under a filter that widens
// when the picture shrinks. One axis at a time, as a matrix that is nearly all zeros.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thalweg {

enum class ResampleFilter {
  bilinear,
  bicubic,  // a = -0.5, as in Pillow and in torch with antialias; torch without it has -0.75
  lanczos,  // three lobes
};

/// `to` samples made of `from`, of which [begin, end) are wanted. All at least 1; 0 <= begin <= end <= to.
struct ResampleAxis {
  int64_t from = 1, to = 1;
  int64_t begin = 0, end = 1;

  int64_t count() const { return end - begin; }
};

/// One output sample: weights of the inputs from `first` on; they add up to 1.
struct ResampleRow {
  int64_t first = 0;
  std::vector<double> weights;
};
std::vector<ResampleRow> resample_rows(ResampleFilter filter, const ResampleAxis& axis);

/// The same as a float32 matrix [count, from].
at::Tensor resample_matrix(ResampleFilter filter, const ResampleAxis& axis);

/// uint8 [C,H,W] to uint8 [C, rows.count(), columns.count()], equal to Pillow's Image.resize bit for bit:
/// weights in fixed point, along the width first, rounded and clipped to 8 bits after each axis. (From 13 on
/// Pillow takes the height first where it loses more than twice the pixels that the width does, as in a
/// picture taller than 2:1: then a level can differ by one.)
at::Tensor resample_8bit(const at::Tensor& picture_CHW, ResampleFilter filter, const ResampleAxis& rows,
                         const ResampleAxis& columns);

/// Float [C,H,W] the same way without rounding or clipping; differentiable.
at::Tensor resample(const at::Tensor& picture_CHW, ResampleFilter filter, const ResampleAxis& rows,
                    const ResampleAxis& columns);

}  // namespace thalweg
