#include "engine/io/contact_sheet.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/io/image.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

constexpr int64_t kPadding = 2;

TEST(ContactSheet, ShowsFramesOfClipsInOrder) {
  // Frame f of clip n is 10 n + f.
  const auto clips = [](int64_t frames) {
    return (at::arange(2).view({2, 1, 1, 1, 1}) * 10 + at::arange(frames).view({1, frames, 1, 1, 1}))
        .expand({2, frames, 3, 2, 2});
  };
  const auto shown = [&](int64_t frames) {
    const auto numbers = clip_frames(clips(frames)).select(1, 0).select(1, 0).select(1, 0).contiguous();
    return std::vector<int64_t>(numbers.data_ptr<int64_t>(), numbers.data_ptr<int64_t>() + numbers.numel());
  };
  EXPECT_EQ(shown(9), (std::vector<int64_t>{0, 2, 5, 8, 10, 12, 15, 18}));
  EXPECT_EQ(shown(3), (std::vector<int64_t>{0, 1, 2, 10, 11, 12}));
  EXPECT_EQ(shown(1), (std::vector<int64_t>{0, 10}));
  for (const auto& [frames, columns] : {std::pair{1, 8}, {2, 8}, {3, 6}, {4, 8}, {81, 8}})
    EXPECT_EQ(clip_columns(frames), columns) << frames;
}

TEST(ContactSheet, LaysPicturesOutRowByRow) {
  auto frames_N3HW = at::zeros({3, 3, 6, 6});
  for (int64_t i = 0; i < 3; ++i) frames_N3HW[i].fill_(0.2 * static_cast<double>(i));
  const auto sheet_3HW = contact_sheet(frames_N3HW, 2);
  ASSERT_EQ(sheet_3HW.sizes(), (at::IntArrayRef{3, 18, 18}));
  EXPECT_TRUE(sheet_3HW.slice(1, 0, 2).eq(1.0).all().item<bool>());
  const auto cell = [&](int64_t row, int64_t column) {
    return sheet_3HW.narrow(1, 2 + 8 * row, 6).narrow(2, 2 + 8 * column, 6);
  };
  EXPECT_TRUE(cell(0, 0).eq(0.0).all().item<bool>());
  EXPECT_TRUE(at::allclose(cell(0, 1), at::full({3, 6, 6}, 0.2)));
  EXPECT_TRUE(at::allclose(cell(1, 0), at::full({3, 6, 6}, 0.4)));
  EXPECT_TRUE(cell(1, 1).eq(1.0).all().item<bool>());  // no fourth picture
}

TEST(ContactSheet, RefusesNonsense) {
  EXPECT_ERROR(contact_sheet(at::zeros({0, 3, 2, 2})), "[N,3,H,W]");
  EXPECT_ERROR(contact_sheet(at::zeros({1, 1, 2, 2})), "[N,3,H,W]");
  EXPECT_ERROR(contact_sheet(at::zeros({1, 3, 2, 2}), 0), "columns >= 1");
}

TEST(ContactSheet, TakesMeansOverSquaresOfWhatAPngWouldShow) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto picture = at::tensor({0.0f, 1.0f, 0.5f, 2.0f, -1.0f, nan}, at::kFloat).view({1, 1, 2, 3});
  const auto small = shrunk(picture.expand({1, 3, 2, 3}), 2);
  ASSERT_EQ(small.sizes(), (at::IntArrayRef{1, 3, 1, 2}));
  EXPECT_FLOAT_EQ(small[0][1][0][0].item<float>(), 0.5f);   // 0, 1, clamped 1, clamped 0
  EXPECT_FLOAT_EQ(small[0][1][0][1].item<float>(), 0.25f);  // 0.5 and NaN: the rest of the last square
}

TEST(ContactSheet, ShowsLevelsAndFloatsAlike) {
  const auto levels = at::arange(2 * 3 * 5 * 4).remainder(256).view({2, 3, 5, 4}).to(at::kByte);
  EXPECT_EQ(encode_png(contact_sheet(levels)), encode_png(contact_sheet(levels.to(at::kFloat).div(255.0))));
}

// Whatever number and size: a sheet is there, no side is too long, no smaller shrinking would have done.
TEST(ContactSheet, OfAnySizeIsWithinTheLimit) {
  const int64_t sizes[] = {1, 2, 31, 32, 64, 100, 480, 512, 832, 1022, 1024, 2048, 4092, 4093, 8192};
  for (const int64_t count : {1, 2, 7, 8, 9, 16, 64, 81, 500, 1000, 1024, 20000, 1000000})
    for (const int64_t height : sizes)
      for (const int64_t width : sizes)
        for (const int64_t columns : {int64_t{1}, int64_t{8}, count}) {
          const auto l = sheet_layout(count, height, width, columns);
          const int64_t h = (height + l.shrink - 1) / l.shrink, w = (width + l.shrink - 1) / l.shrink;
          const int64_t rows = (l.shown + l.columns - 1) / l.columns;
          const auto place = testing::Message()
                             << count << " of " << width << " x " << height << " in " << columns;
          ASSERT_LE(rows * (h + kPadding) + kPadding, kMaxSheetSide) << place;
          ASSERT_LE(l.columns * (w + kPadding) + kPadding, kMaxSheetSide) << place;
          ASSERT_GE(l.shown, 1) << place;
          ASSERT_TRUE(l.shown == count || std::max(h, w) <= 64) << place;
          ASSERT_EQ(l.note().empty(), l.shrink == 1 && l.shown == count) << place;
          const int64_t wide = std::min(columns, count), tall = (count + wide - 1) / wide;
          const bool whole = wide * (width + kPadding) + kPadding <= kMaxSheetSide &&
                             tall * (height + kPadding) + kPadding <= kMaxSheetSide;
          ASSERT_TRUE(!whole || (l.shrink == 1 && l.shown == count && l.columns == wide)) << place;
        }
}

// The sizes at which sheets failed.
TEST(ContactSheet, OfRealSizes) {
  const auto of_16 = sheet_layout(16, 1024, 1024);
  EXPECT_EQ(of_16.columns, 8);
  EXPECT_EQ(of_16.shrink, 3);
  EXPECT_EQ(of_16.note(), "at 1/3 of their size");
  const auto sheet = contact_sheet(at::full({16, 3, 1024, 1024}, 0.25));
  EXPECT_EQ(sheet.sizes(), (at::IntArrayRef{3, 2 * 344 + 2, 8 * 344 + 2}));
  EXPECT_FLOAT_EQ(sheet[0][3][3].item<float>(), 0.25f);
  EXPECT_GT(encode_png(sheet).size(), 1000u);
  const auto small = sheet_layout(1000, 64, 64);
  EXPECT_EQ(small.shrink, 1);
  EXPECT_EQ(small.shown, 1000);
  EXPECT_EQ(sheet_layout(1'000'000, 64, 64).note(), "at 1/2 of their size, the first 14400 of 1000000");
}

}  // namespace
}  // namespace thalweg
