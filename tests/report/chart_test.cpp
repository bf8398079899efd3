#include "pipelines/report/chart.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thalweg {
namespace {

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(MakeAxis, HasRoundTicks) {
  const Axis reward = make_axis(0.31, 0.86, 4, true);
  EXPECT_EQ(reward.decimals, 1);
  ASSERT_EQ(reward.ticks.size(), 5u);
  EXPECT_NEAR(reward.ticks.front(), 0.2, 1e-12);
  EXPECT_NEAR(reward.ticks.back(), 1.0, 1e-12);
  const Axis quarter = make_axis(0.0, 1.0, 4, true);
  EXPECT_NEAR(quarter.ticks[1], 0.25, 1e-12);
  EXPECT_EQ(quarter.decimals, 2);
}

// Small numbers are powers of ten, small steps between larger ones are not: their ticks would read the same.
TEST(MakeAxis, TellsItsTicksApart) {
  EXPECT_EQ(make_axis(0.93173, 0.93176, 4, true).decimals, 5);
  EXPECT_EQ(make_axis(-5e-18, -2e-18, 4, true).decimals, -1);
  EXPECT_EQ(make_axis(1e7, 4e7, 4, true).decimals, -1);
}

// Every data range: ticks inside the axis, the axis around the data, not too many ticks.
TEST(MakeAxis, HoldsTheDataForEveryRange) {
  for (double low : {-1e9, -3.7, -1e-7, 0.0, 2.5e-6, 0.999, 123.4, 8e8})
    for (double span : {0.0, 1e-9, 3.3e-4, 0.7, 12.0, 9.9e5}) {
      const Axis axis = make_axis(low, low + span, 4, true);
      const double invisible = 1e-8 * (axis.high - axis.low);  // less than a pixel of any screen
      EXPECT_LE(axis.low, low + invisible);
      EXPECT_GE(axis.high, low + span - invisible);
      EXPECT_GE(axis.ticks.size(), 2u) << low << " + " << span;
      EXPECT_LE(axis.ticks.size(), 12u) << low << " + " << span;
    }
}

TEST(RenderChart, DrawsPointsWhereTheyBelong) {
  const Chart chart{"reward", "reward", "iteration", {{"train", {{0, 0}, {5, 0.5}, {10, 1}}, {}, {}}}, ""};
  const std::string html = render_chart(chart);
  EXPECT_NE(html.find("class=\"line\" d=\"M0.0 1000.0L500.0 500.0L1000.0 0.0\""), std::string::npos) << html;
  EXPECT_NE(html.find("aria-label=\"reward: train from 0 to 1.000. \""), std::string::npos) << html;
}

TEST(RenderChart, LeavesAGapWhereNothingWasScored) {
  const Chart chart{"r", "r", "x", {{"a", {{0, 0}, {1, 1}, {2, NAN}, {3, 0}, {4, 1}}, {}, {}}}, ""};
  const std::string html = render_chart(chart);
  EXPECT_NE(html.find("d=\"M0.0 1000.0L250.0 0.0M750.0 1000.0L1000.0 0.0\""), std::string::npos) << html;
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(render_chart({"r", "r", "x", {{"a", {{0, NAN}}, {}, {}}}, ""}), "");
  EXPECT_EQ(render_chart({}), "");
}

TEST(RenderChart, DrawsABandOnlyWhenItFits) {
  Chart chart{"r", "r", "x", {{"a", {{0, 0.5}, {1, 0.5}}, {0.0, 0.25}, {1.0, 0.75}}}, ""};
  EXPECT_NE(render_chart(chart).find("class=\"band\" d=\"M0.0 0.0L1000.0 250.0L1000.0 750.0L0.0 1000.0Z\""),
            std::string::npos)
      << render_chart(chart);
  chart.series[0].low.pop_back();
  EXPECT_EQ(render_chart(chart).find("class=\"band\""), std::string::npos);
}

TEST(RenderChart, ThinsLongCurvesButKeepsSpikes) {
  Series series{"a", {}, {}, {}};
  for (int i = 0; i < 100000; ++i) series.points.emplace_back(i, i == 54321 ? 1.0 : 0.0);
  const std::string html = render_chart({"r", "r", "x", {series}, ""});
  EXPECT_LT(html.size(), 60000u);
  EXPECT_EQ(count_of(html, "L543.2 0.0"), 1u);
}

TEST(RenderChart, EscapesNames) {
  const Chart chart{"<b>", "\"y\"", "<x>", {{"</svg><script>", {{0, 0}, {1, 1}}, {}, {}}}, "<n>"};
  const std::string html = render_chart(chart);
  for (const char* bad : {"<b>\"", "<script", "<x>", "<n>"})
    EXPECT_EQ(html.find(bad), std::string::npos) << bad;
  EXPECT_NE(html.find("&lt;script&gt;"), std::string::npos);
}

}  // namespace
}  // namespace thalweg
