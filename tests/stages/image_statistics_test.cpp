#include "pipelines/stages/image_statistics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

at::Tensor flat(double red, double green, double blue, int64_t side = 16) {
  const auto colour = at::tensor({red, green, blue}, at::kFloat).view({1, 1, 3, 1, 1});
  return colour.expand({1, 1, 3, side, side}).contiguous();
}

at::Tensor noise(int64_t count) {
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < count; ++i) slots.push_back(i);
  return (normal_noise(3, Purpose::data, slots, 0, {1, 3, 16, 16}) * 0.2 + 0.5).clamp(0.0, 1.0);
}

double of(const at::Tensor& frames, const std::string& name, int64_t row = 0) {
  const auto& names = image_statistic_names();
  const auto column = std::find(names.begin(), names.end(), name) - names.begin();
  return image_statistics(frames).values_BS[row][column].item<double>();
}

TEST(ImageStatistics, OfAFlatColour) {
  const auto x = flat(1.0, 0.5, 0.5);
  EXPECT_EQ(of(x, "image_entropy"), 0.0);
  EXPECT_EQ(of(x, "edge_density"), 0.0);
  EXPECT_NEAR(of(x, "saturation"), 0.5, 1e-6);
  EXPECT_NEAR(of(x, "brightness"), 0.299 + 0.5 * (0.587 + 0.114), 1e-6);
  EXPECT_EQ(of(x, "constant_images"), 1.0);
  EXPECT_EQ(of(flat(0.0, 0.0, 0.0), "saturation"), 0.0);  // black has none
}

// Half black, half white, the border between two columns: one bit, and one column of 15 x 15 differences.
TEST(ImageStatistics, OfTwoHalves) {
  auto x = flat(0.0, 0.0, 0.0);
  x.slice(4, 8, 16).fill_(1.0);
  EXPECT_NEAR(of(x, "image_entropy"), 1.0, 1e-12);
  EXPECT_NEAR(of(x, "edge_density"), 1.0 / 15.0, 1e-6);
  EXPECT_NEAR(of(x, "brightness"), 0.5, 1e-6);
  EXPECT_EQ(of(x, "constant_images"), 0.0);
}

TEST(ImageStatistics, SeeWhatExploitsLookLike) {
  const auto base = noise(1);
  auto grid = base.clone();
  for (int64_t i = 0; i < 16; i += 4) grid.select(4, i).fill_(1.0);
  EXPECT_GT(of(grid, "brightness"), of(base, "brightness") + 0.05);
  const auto blurred = at::avg_pool2d(base.select(1, 0), {5, 5}, {1, 1}, {2, 2}, false, false).unsqueeze(1);
  EXPECT_LT(of(blurred, "edge_density"), 0.4 * of(base, "edge_density"));
  const auto grey = base.select(2, 0).unsqueeze(2).expand_as(base);
  auto coloured = grey.clone();
  coloured.select(2, 0).fill_(1.0);
  EXPECT_EQ(of(grey, "saturation"), 0.0);
  EXPECT_GT(of(coloured, "saturation"), 0.2);
}

// A row's numbers are its own, whatever stands beside it: micro-batches may be cut anywhere.
TEST(ImageStatistics, DoNotDependOnTheBatch) {
  const auto x = noise(5);
  const auto whole = image_statistics(x);
  const auto parts = concatenate(
      {image_statistics(x.slice(0, 0, 2)), ImageStatistics{}, image_statistics(x.slice(0, 2, 5))});
  EXPECT_TRUE(at::allclose(whole.values_BS, parts.values_BS, 0.0, 1e-6, /*equal_nan=*/true));
  EXPECT_TRUE(at::allclose(whole.thumbnails_BD, parts.thumbnails_BD, 0.0, 1e-6));
  EXPECT_EQ(whole.thumbnails_BD.size(1), 3 * 8 * 8);
}

TEST(ImageStatistics, MarkAPictureThatIsNotFinite) {
  auto x = noise(2);
  x[1][0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  const auto statistics = image_statistics(x);
  EXPECT_EQ(at::isnan(statistics.values_BS[0]).sum().item<int64_t>(), 1);  // a picture has no motion
  EXPECT_TRUE(at::isnan(statistics.values_BS[1]).all().item<bool>());
  EXPECT_TRUE(std::isnan(picture_diversity(statistics.thumbnails_BD, {0, 0})));
}

// The mean difference of a frame and the next, of all channels, in the order of time; none of one frame.
TEST(ImageStatistics, OfMotion) {
  const auto grey = [](double level) { return flat(level, level, level); };
  EXPECT_NEAR(of(at::cat({grey(0.2), grey(0.3), grey(0.6)}, 1), "motion"), 0.2, 1e-6);
  EXPECT_NEAR(of(at::cat({grey(0.3), grey(0.2), grey(0.6)}, 1), "motion"), 0.25, 1e-6);
  EXPECT_NEAR(of(at::cat({grey(0.0), flat(0.3, 0.0, 0.0)}, 1), "motion"), 0.1, 1e-6);
  EXPECT_EQ(of(at::cat({grey(0.2), grey(0.2)}, 1), "motion"), 0.0);
  EXPECT_TRUE(std::isnan(of(grey(0.2), "motion")));
  EXPECT_TRUE(std::isnan(of(at::cat({grey(0.2), grey(std::nan(""))}, 1), "motion")));
  const auto pair = at::cat({at::cat({grey(0.2), grey(0.5)}, 1), at::cat({grey(0.1), grey(0.1)}, 1)});
  EXPECT_NEAR(of(pair, "motion", 0), 0.3, 1e-6);
  EXPECT_EQ(of(pair, "motion", 1), 0.0);
}

TEST(PictureDiversity, IsTheRootMeanSquareDifferenceOfPairs) {
  const auto x = at::cat({flat(0, 0, 0), flat(1, 1, 1), flat(0, 0, 0), flat(0.5, 0.5, 0.5)});
  const auto thumbnails = image_statistics(x).thumbnails_BD;
  EXPECT_NEAR(picture_diversity(thumbnails, {0, 0, 1, 1}), (1.0 + 0.5) / 2, 1e-6);  // a mean over groups
  EXPECT_NEAR(picture_diversity(thumbnails, {7, 1, 7, 2}), 0.0, 1e-6);              // the same picture twice
  EXPECT_NEAR(picture_diversity(thumbnails.slice(0, 0, 3), {0, 0, 0}), std::sqrt(2.0 / 3.0), 1e-6);
  EXPECT_TRUE(std::isnan(picture_diversity(thumbnails, {0, 1, 2, 3})));
  EXPECT_ANY_THROW(picture_diversity(thumbnails, {0}));
}

}  // namespace
}  // namespace thalweg
