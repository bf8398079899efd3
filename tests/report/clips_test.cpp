#include "pipelines/report/clips.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/core/file.h"
#include "pipelines/report/page.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

TEST(Clips, AreOfASizeThatOneSees) {
  for (const int64_t height : {16, 32, 64, 200, 256, 480, 481, 720, 2160})
    for (const int64_t width : {16, 32, 255, 832, 1280, 3840}) {
      const auto scale = clip_scale(height, width);
      const auto side = std::max(height, width);
      const auto shown = (side + scale.shrink - 1) / scale.shrink * scale.enlarge;
      EXPECT_LE(shown, kClipSide);
      EXPECT_TRUE(scale.shrink == 1 || scale.enlarge == 1);
      EXPECT_TRUE(scale.enlarge == 1 || shown + side > kSmallClipSide) << side;
      if (side >= kSmallClipSide && side <= kClipSide) {
        EXPECT_EQ(shown, side);
      }
    }
}

GridPair two_pairs() {
  GridPair grid;
  grid.pictures = {{"a red circle moves left", "", "", 0.2, 0.9, ""},
                   {"a blue square grows", "", "", 0.4, 0.3, ""}};
  return grid;
}

TEST(Clips, ArePlayedByThePage) {
  const Scratch scratch;
  auto grid = two_pairs();
  const auto before = at::rand({2, 5, 3, 32, 32}), after = at::rand({2, 5, 3, 32, 32});
  add_clips(grid, before, after, 8.0, scratch.folder());
  EXPECT_EQ(grid.clip_height, 256);
  EXPECT_TRUE(std::filesystem::is_empty(scratch.folder()));
  for (const auto& pair : grid.pictures)
    for (const auto& bytes : {pair.before, pair.after}) EXPECT_EQ(bytes.substr(4, 4), "ftyp");
  EXPECT_NE(grid.pictures[0].before, grid.pictures[0].after);
  Report report;
  report.grids = {grid};
  const auto page = render_report(report);
  EXPECT_NE(page.find("media-src data:"), std::string::npos);
  size_t clips = 0;
  for (size_t at = 0; (at = page.find("<video src=\"data:video/mp4;base64,", at)) != std::string::npos; ++at)
    ++clips;
  EXPECT_EQ(clips, 4u);
  EXPECT_EQ(page.find("<img"), std::string::npos);
}

TEST(Clips, ThatCannotBeMadeLeaveTheGridAsItWas) {
  const Scratch scratch;
  auto grid = two_pairs();
  const auto clips = at::rand({2, 5, 3, 32, 32});
  EXPECT_ERROR(add_clips(grid, clips, clips, 8.0, scratch / "nowhere"), "nowhere");
  EXPECT_EQ(grid.pictures.size(), 2u);
  EXPECT_EQ(grid.clip_width, 0);
  EXPECT_EQ(grid.caption, "");
}

}  // namespace
}  // namespace thalweg
