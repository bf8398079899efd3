#include "engine/models/vision/resample.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace thalweg {
namespace {

constexpr ResampleFilter kFilters[] = {ResampleFilter::bilinear, ResampleFilter::bicubic,
                                       ResampleFilter::lanczos};

ResampleAxis whole(int64_t from, int64_t to) {
  return {from, to, 0, to};
}

void expect_row(const ResampleRow& row, int64_t first, const std::vector<double>& weights) {
  EXPECT_EQ(row.first, first);
  ASSERT_EQ(row.weights.size(), weights.size());
  for (size_t k = 0; k < weights.size(); ++k) EXPECT_NEAR(row.weights[k], weights[k], 1e-12) << k;
}

// By hand, from the filters' formulas.
TEST(Resample, WeightsAreThoseOfTheFilter) {
  const auto halved = resample_rows(ResampleFilter::bilinear, whole(4, 2));
  expect_row(halved[0], 0, {3.0 / 7, 3.0 / 7, 1.0 / 7});
  expect_row(halved[1], 1, {1.0 / 7, 3.0 / 7, 3.0 / 7});
  const double near = 0.8671875, far = -0.0703125;  // the cubic at 1/4 and 5/4
  const auto doubled = resample_rows(ResampleFilter::bicubic, whole(2, 4));
  expect_row(doubled[0], 0, {near / (near + far), far / (near + far)});
  expect_row(doubled[3], 0, {far / (near + far), near / (near + far)});
}

TEST(Resample, RowsAddUpToOneAndTheSameSizeIsTheIdentity) {
  for (const auto filter : kFilters) {
    for (const auto& [from, to] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 7}, {7, 1}, {50, 13}, {13, 50}}) {
      const auto sums = resample_matrix(filter, whole(from, to)).sum(1);
      EXPECT_TRUE(at::allclose(sums, at::ones({to}), 0, 1e-6)) << from << " to " << to;
    }
    EXPECT_TRUE(at::allclose(resample_matrix(filter, whole(9, 9)), at::eye(9), 0, 1e-12));
  }
}

TEST(Resample, APartIsThePartOfTheWhole) {
  at::manual_seed(3);
  const auto picture = at::rand({3, 31, 17}), levels = (picture * 255).round().to(at::kByte);
  for (const auto filter : kFilters) {
    const ResampleAxis rows{31, 12, 2, 9}, columns{17, 40, 11, 40};
    const auto all = resample_8bit(levels, filter, whole(31, 12), whole(17, 40));
    EXPECT_TRUE(at::equal(resample_8bit(levels, filter, rows, columns), all.slice(1, 2, 9).slice(2, 11, 40)));
    const auto smooth = resample(picture, filter, whole(31, 12), whole(17, 40));
    EXPECT_TRUE(at::allclose(resample(picture, filter, rows, columns), smooth.slice(1, 2, 9).slice(2, 11, 40),
                             0, 1e-6));
  }
}

TEST(Resample, EightBitsKeepFlatPicturesAndStayNearTheSmoothOnes) {
  at::manual_seed(4);
  const auto picture = at::randint(64, 192, {1, 40, 23}).to(at::kByte);
  for (const auto filter : kFilters) {
    for (int64_t level = 0; level < 256; level += 51) {
      const auto flat =
          resample_8bit(at::full({1, 5, 9}, level, at::kByte), filter, whole(5, 3), whole(9, 20));
      EXPECT_TRUE(flat.eq(level).all().item<bool>()) << level;
    }
    const auto rows = whole(40, 16), columns = whole(23, 30);
    const auto smooth = resample(picture.to(at::kFloat), filter, rows, columns);
    const auto eight = resample_8bit(picture, filter, rows, columns).to(at::kFloat);
    // Half a level of the second rounding, and of the first through weights whose sizes add up to less
    // than 2. The middle levels overshoot no end of the range.
    EXPECT_LT((eight - smooth).abs().max().item<double>(), 1.5);
  }
}

TEST(Resample, IsLinearAndSoIsItsGradient) {
  at::manual_seed(5);
  const auto rows = whole(9, 4), columns = whole(6, 11);
  const auto x = at::rand({2, 9, 6}).requires_grad_(true), c = at::rand({2, 4, 11});
  const auto y = resample(x, ResampleFilter::bicubic, rows, columns);
  y.backward(c);
  const auto transposed = at::matmul(at::matmul(resample_matrix(ResampleFilter::bicubic, rows).t(), c),
                                     resample_matrix(ResampleFilter::bicubic, columns));
  EXPECT_TRUE(at::allclose(x.grad(), transposed, 0, 1e-5));
}

}  // namespace
}  // namespace thalweg
