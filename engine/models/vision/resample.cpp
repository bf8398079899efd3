#include "engine/models/vision/resample.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace thalweg {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kFractionBits = 32 - 8 - 2;  // Pillow's: 8 bits of value, 2 for sums beyond it

struct FilterShape {
  double support;
  double (*value)(double);
};

double bilinear(double x) {
  return std::max(1.0 - std::abs(x), 0.0);
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

double sinc(double x) {
  return x == 0.0 ? 1.0 : std::sin(x * kPi) / (x * kPi);
}

double lanczos(double x) {
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

FilterShape shape_of(ResampleFilter filter) {
  if (filter == ResampleFilter::bilinear) return {1.0, &bilinear};
  if (filter == ResampleFilter::bicubic) return {2.0, &bicubic};
  return {3.0, &lanczos};
}

ResampleRow row_at(const FilterShape& shape, const ResampleAxis& axis, int64_t i) {
  const double step = static_cast<double>(axis.from) / static_cast<double>(axis.to);
  const double width = std::max(step, 1.0);
  const double center = (static_cast<double>(i) + 0.5) * step;
  const double reach = shape.support * width;
  ResampleRow row;
  row.first = std::max<int64_t>(static_cast<int64_t>(center - reach + 0.5), 0);
  const auto last = std::min<int64_t>(static_cast<int64_t>(center + reach + 0.5), axis.from);
  double sum = 0.0;
  for (int64_t x = row.first; x < last; ++x) {
    row.weights.push_back(shape.value((static_cast<double>(x) - center + 0.5) * (1.0 / width)));
    sum += row.weights.back();
  }
  if (sum != 0.0)
    for (auto& weight : row.weights) weight /= sum;
  return row;
}

struct FixedRow {
  int64_t first;
  std::vector<int32_t> weights;
};

std::vector<FixedRow> fixed_point(const std::vector<ResampleRow>& rows) {
  std::vector<FixedRow> fixed;
  for (const auto& row : rows) {
    fixed.push_back({row.first, {}});
    for (const double weight : row.weights)
      fixed.back().weights.push_back(
          static_cast<int32_t>(std::copysign(0.5, weight) + weight * (1 << kFractionBits)));
  }
  return fixed;
}

uint8_t rounded(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

constexpr int32_t kHalf = 1 << (kFractionBits - 1);

/// One line of `in` to one of `out`.
void along_width(const uint8_t* in, const std::vector<FixedRow>& columns, uint8_t* out) {
  for (const auto& column : columns) {
    int32_t sum = kHalf;
    for (size_t k = 0; k < column.weights.size(); ++k)
      sum += in[column.first + static_cast<int64_t>(k)] * column.weights[k];
    *out++ = rounded(sum);
  }
}

/// One line out of the lines of `in` that `row` names; `sums` has room for a line.
void along_height(const uint8_t* in, int64_t width, const FixedRow& row, std::vector<int32_t>& sums,
                  uint8_t* out) {
  std::fill(sums.begin(), sums.end(), kHalf);
  for (size_t k = 0; k < row.weights.size(); ++k) {
    const uint8_t* line = in + (row.first + static_cast<int64_t>(k)) * width;
    for (int64_t x = 0; x < width; ++x) sums[static_cast<size_t>(x)] += line[x] * row.weights[k];
  }
  for (int64_t x = 0; x < width; ++x) out[x] = rounded(sums[static_cast<size_t>(x)]);
}

}  // namespace

std::vector<ResampleRow> resample_rows(ResampleFilter filter, const ResampleAxis& axis) {
  TORCH_CHECK(axis.from >= 1 && axis.to >= 1 && 0 <= axis.begin && axis.begin <= axis.end &&
              axis.end <= axis.to);
  const auto shape = shape_of(filter);
  std::vector<ResampleRow> rows;
  for (int64_t i = axis.begin; i < axis.end; ++i) rows.push_back(row_at(shape, axis, i));
  return rows;
}

at::Tensor resample_matrix(ResampleFilter filter, const ResampleAxis& axis) {
  auto matrix = at::zeros({axis.count(), axis.from}, at::kFloat);
  auto* line = matrix.data_ptr<float>();
  for (const auto& row : resample_rows(filter, axis)) {
    for (size_t k = 0; k < row.weights.size(); ++k)
      line[row.first + static_cast<int64_t>(k)] = static_cast<float>(row.weights[k]);
    line += axis.from;
  }
  return matrix;
}

at::Tensor resample_8bit(const at::Tensor& picture_CHW, ResampleFilter filter, const ResampleAxis& rows,
                         const ResampleAxis& columns) {
  TORCH_CHECK(picture_CHW.scalar_type() == at::kByte && picture_CHW.dim() == 3 &&
              picture_CHW.size(1) == rows.from && picture_CHW.size(2) == columns.from);
  const auto picture = picture_CHW.contiguous();
  const auto fixed_rows = fixed_point(resample_rows(filter, rows));
  const auto fixed_columns = fixed_point(resample_rows(filter, columns));
  // Lines that no row of the output reads stay as they are: for a long strip that is most of them.
  int64_t first = rows.from, last = 0;
  for (const auto& row : fixed_rows) {
    first = std::min(first, row.first);
    last = std::max(last, row.first + static_cast<int64_t>(row.weights.size()));
  }
  const auto out = at::empty({picture.size(0), rows.count(), columns.count()}, at::kByte);
  std::vector<uint8_t> narrowed(static_cast<size_t>(rows.from * columns.count()));
  std::vector<int32_t> sums(static_cast<size_t>(columns.count()));
  for (int64_t c = 0; c < picture.size(0); ++c) {
    const auto* in = picture.const_data_ptr<uint8_t>() + c * rows.from * columns.from;
    for (int64_t y = first; y < last; ++y)
      along_width(in + y * columns.from, fixed_columns, narrowed.data() + y * columns.count());
    auto* to = out.data_ptr<uint8_t>() + c * rows.count() * columns.count();
    for (const auto& row : fixed_rows) {
      along_height(narrowed.data(), columns.count(), row, sums, to);
      to += columns.count();
    }
  }
  return out;
}

at::Tensor resample(const at::Tensor& picture_CHW, ResampleFilter filter, const ResampleAxis& rows,
                    const ResampleAxis& columns) {
  const auto across = at::matmul(picture_CHW, resample_matrix(filter, columns).t());
  return at::matmul(resample_matrix(filter, rows), across);
}

}  // namespace thalweg
