#include "pipelines/report/fitting.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/io/image.h"
#include "pipelines/report/page.h"

namespace thalweg {
namespace {

int64_t up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

TEST(Fitting, LeavesSmallRunsAlone) {
  const auto shown = fitting(512, 1, 64, 64);
  EXPECT_EQ(shown.pairs, 512);
  EXPECT_EQ(shown.shrink, 1);
  EXPECT_EQ(shown.note, "");
  const auto picture = at::rand({1, 3, 64, 64});
  EXPECT_EQ(report_png(picture, shown), encode_png(picture[0]));
}

// The rule, over real sizes: the pixels are within the limit, or pictures are at their smallest.
TEST(Fitting, KeepsTheRuleAtEverySize) {
  for (const int64_t pairs : {1, 16, 64, 1024})
    for (const int64_t frames : {1, 4, 8, 9, 81, 257})
      for (const auto& [height, width] :
           {std::pair{64, 64}, {480, 832}, {1024, 1024}, {1, 8192}, {8192, 8192}}) {
        const auto s = fitting(pairs, frames, height, width);
        const int64_t h = up(height, s.shrink), w = up(width, s.shrink);
        const auto place = testing::Message()
                           << pairs << " of " << frames << " x " << height << " x " << width;
        EXPECT_LE(s.pairs * 2 * s.frames * h * w, kReportPixels) << place;
        EXPECT_EQ(s.frames, std::min(frames, kReportFrames)) << place;
        EXPECT_TRUE(s.shrink == 1 || std::max(h, w) >= 64) << place;
        EXPECT_TRUE(s.pairs == pairs || std::max(h, w) < 128) << place;
        EXPECT_EQ(s.note.empty(), s.shrink == 1 && s.frames == frames && s.pairs == pairs) << place;
        EXPECT_TRUE(s.frames == 1 || s.frames * (w + 2) + 2 <= 4096) << place;
      }
}

TEST(Fitting, SaysWhatIsNotAsItWas) {
  EXPECT_EQ(fitting(16, 1, 1024, 1024).note,
            "Shown at 1/2 of their size, so that this page stays small; all are in the folder samples/.");
  EXPECT_EQ(
      fitting(1024, 81, 64, 64).note,
      "Shown 8 of 81 frames, the first 128 of 1024 prompts, so that this page stays small; all are in the "
      "folder samples/.");
}

TEST(Fitting, ShowsAVideoFromItsFirstFrameToItsLast) {
  auto video = at::zeros({81, 3, 4, 4});
  for (int64_t f = 0; f < 81; ++f) video[f].fill_(static_cast<double>(f) / 85.0);
  const auto strip = decode_png(report_png(video, fitting(1, 81, 4, 4)), "strip");
  ASSERT_EQ(strip.sizes(), (at::IntArrayRef{3, 8, 8 * 6 + 2}));
  EXPECT_FLOAT_EQ(strip[0][3][3].item<float>(), 0.0f);
  EXPECT_FLOAT_EQ(strip[0][3][6 * 7 + 3].item<float>(), 80.0f * 3 / 255);
}

TEST(RenderReport, KeepsToItsSizeAndSaysWhatIsMissing) {
  Report report;
  report.title = "large";
  report.grids = {
      {"g", "", "", {{"a cat", "", encode_png(at::rand({3, 128, 128})), kNotScored, kNotScored, ""}}}};
  report.job = {{"key", std::string(20000, 'x')}};
  report.tables = {{"t", {"a"}, {{std::string(30000, 'y')}}, ""}};
  const auto whole = render_report(report);
  EXPECT_EQ(whole.find("are left out"), std::string::npos);
  const auto without_pictures = render_report(report, whole.size() - 1);
  EXPECT_NE(
      without_pictures.find(
          "The pictures are left out: with them this page would be 1 MB. They are in the folder samples/."),
      std::string::npos);
  EXPECT_EQ(without_pictures.find("data:image/png"), std::string::npos);
  EXPECT_NE(without_pictures.find("yyyy"), std::string::npos);
  const auto least = render_report(report, 1);
  for (const char* part : {"pictures", "settings", "tables", "curves"})
    EXPECT_NE(least.find("The " + std::string(part) + " are left out"), std::string::npos) << part;
  EXPECT_LT(least.size(), whole.size() - 50000);
  EXPECT_NE(least.find("</html>"), std::string::npos);
}

TEST(RenderReport, OfAMillionIterationsIsSmall) {
  Report report;
  Series series{"loss", {}, {}, {}};
  for (int i = 0; i < 1'000'000; ++i) series.points.emplace_back(i, i == 333'333 ? 7.0 : 0.5);
  report.charts = {{"loss", "", "iteration", {series}, ""}};
  const auto page = render_report(report);
  EXPECT_LT(page.size(), 400'000u);
  const auto data = report_data(report)["charts"][0]["series"][0];
  EXPECT_EQ(data["thinned_from"], 1'000'000);
  EXPECT_LE(data["points"].size(), 4001u);
  bool has_spike = false;
  for (const auto& point : data["points"]) has_spike = has_spike || point[1] == 7.0;
  EXPECT_TRUE(has_spike);
}

}  // namespace
}  // namespace thalweg
