#include "pipelines/report/page.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <regex>

#include "engine/io/image.h"

namespace thalweg {
namespace {

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Report small_report() {
  Report report;
  report.title = "demo";
  report.subtitle = "flow_grpo";
  report.status = "succeeded";
  report.headline = {{"Method", "flow_grpo"}};
  report.comparisons = {
      {"scene", paired_difference({0.2, 0.3, 0.4}, {0.7, 0.9, 0.8}), true, "share of facts"}};
  report.charts = {{"reward", "reward", "iteration", {{"train", {{0, 0.2}, {1, 0.8}}, {}, {}}}, ""}};
  const auto before = encode_png(at::zeros({3, 8, 8})), after = encode_png(at::ones({3, 8, 8}));
  report.grids = {
      {"Held-out",
       "same seeds",
       "scene",
       {{"a red cube", before, after, 0.25, 0.75, "seed 3"}, {"a cat", before, after, 0.5, 0.25, ""}}}};
  report.tables = {{"Evaluation", {"iteration", "scene"}, {{"0", "0.3"}, {"10"}}, ""}};
  report.timings = {{"rollout", 30.0, 57.0}, {"train step", 10.0}};
  report.job = {{"job", "align"}, {"seeds", {1, 2}}};
  report.notes = {{Note::Level::info, "resumed"}, {Note::Level::error, "disk full"}};
  return report;
}

TEST(ReportData, IsInThePageAndHoldsWhatItShows) {
  auto report = small_report();
  report.title = "</script><!-- \"'&\xff";
  report.charts[0].series[0].points.emplace_back(2, kNotScored);
  const std::string page = render_report(report), begin = "id=\"report-data\">";
  const auto from = page.find(begin) + begin.size();
  const auto data = parse_json(page.substr(from, page.find("</script>", from) - from), "report-data");
  EXPECT_EQ(data["title"].get<std::string>().substr(0, 17), "</script><!-- \"'&");
  EXPECT_EQ(data["comparisons"][0]["after"], report.comparisons[0].difference.mean_after);
  EXPECT_EQ(data["charts"][0]["series"][0]["points"], Json::parse("[[0.0,0.2],[1.0,0.8],[2.0,null]]"));
  EXPECT_EQ(data["grids"][0]["pictures"][1]["after_score"], 0.25);
  EXPECT_EQ(data["tables"][0]["rows"][0][1], "0.3");
  EXPECT_EQ(data["notes"][1]["level"], "error");
  EXPECT_EQ(data["job"], report.job);
  EXPECT_EQ(data["time_phases"][0]["wall_s"], 30.0);
  // Other times, and nothing else, give other data under names of time alone.
  report.timings[0].wall_s = 31.0;
  auto other = report_data(report), same = data;
  other.erase("time_phases");
  same.erase("time_phases");
  same["title"] = other["title"];  // its bad byte became U+FFFD on the page
  EXPECT_EQ(other, same);
}

TEST(RenderReport, ShowsEverySection) {
  const std::string page = render_report(small_report());
  for (const char* part : {"<h1>demo</h1>",
                           "chip good\">succeeded",
                           "<small>before</small>0.300",
                           "<small>after</small>0.800",
                           "<b>+0.500</b> (95% interval ",
                           "3 pairs",
                           "id=\"notes\"",
                           "id=\"pictures\"",
                           "a red cube",
                           "\u25b2 1 higher",
                           "\u25bc 1 lower",
                           "seed 3",
                           "id=\"curves\"",
                           "id=\"numbers\"",
                           "id=\"time\"",
                           "<b>40 s</b>",
                           ">75%<",
                           "1.9 cores",
                           "id=\"settings\"",
                           "&quot;align&quot;"})
    EXPECT_TRUE(holds(page, part)) << part;
  EXPECT_FALSE(holds(page, "id=\"others\""));               // one reward leads the page, there are no others
  EXPECT_LT(page.find("disk full"), page.find("resumed"));  // the worst first
}

// The promise of one file: no address, no import, only data URIs.
TEST(RenderReport, AsksNobodyForAnything) {
  const std::string page = render_report(small_report());
  EXPECT_TRUE(holds(page, "default-src 'none'"));
  for (const char* part : {"http:", "https:", "//cdn", "@import", "url(", "fetch(", "XMLHttpRequest", "<link",
                           "<iframe", "@font-face"})
    EXPECT_FALSE(holds(page, part)) << part;
  const std::regex source("src=\"([^\"]{0,21})");
  int pictures = 0;
  for (auto it = std::sregex_iterator(page.begin(), page.end(), source); it != std::sregex_iterator();
       ++it, ++pictures)
    EXPECT_EQ((*it)[1].str(), "data:image/png;base64");
  EXPECT_EQ(pictures, 4);
}

TEST(RenderReport, EscapesEveryText) {
  const std::string evil = "<script>alert(1)</script>\"'><img src=x>";
  Report report = small_report();
  report.title = report.subtitle = report.status = evil;
  report.headline = {{evil, evil}};
  report.comparisons[0].label = report.comparisons[0].note = evil;
  report.comparisons.push_back(report.comparisons[0]);
  report.charts[0].title = report.charts[0].y_label = report.charts[0].x_label = report.charts[0].note = evil;
  report.charts[0].series[0].name = evil;
  auto& grid = report.grids[0];
  grid.title = grid.caption = grid.score_name = grid.pictures[0].prompt = grid.pictures[0].detail = evil;
  grid.pictures[1].after = evil;  // not a picture
  report.tables = {{evil, {evil, evil}, {{evil, evil}}, evil}};
  report.timings[0].phase = evil;
  report.job = {{evil, evil}};
  report.notes = {{Note::Level::warning, evil}};
  const std::string page = render_report(report);
  EXPECT_FALSE(holds(page, "<script>alert"));
  EXPECT_FALSE(holds(page, "<img src=x"));
  EXPECT_FALSE(holds(page, evil.substr(0, 9) + "alert"));
  EXPECT_TRUE(holds(page, "no picture"));
}

TEST(RenderReport, OfNothingIsStillAPage) {
  const std::string page = render_report({});
  EXPECT_TRUE(holds(page, "</html>"));
  EXPECT_FALSE(holds(page, "<section"));
}

TEST(RenderReport, SaysHowSureTheChangeIs) {
  const auto chip_of = [](const std::vector<double>& before, const std::vector<double>& after, bool higher) {
    Report report;
    report.comparisons = {{"r", paired_difference(before, after), higher, ""}};
    const std::string page = render_report(report);
    const size_t at = page.find("class=\"label\"");
    const size_t begin = page.find("<span class=\"chip", at);
    return page.substr(begin, page.find("</span>", begin) - begin);
  };
  EXPECT_TRUE(holds(chip_of({0, 0.1, 0.2}, {0.5, 0.7, 0.6}, true), "good\">improved"));
  EXPECT_TRUE(holds(chip_of({0, 0.1, 0.2}, {0.5, 0.7, 0.6}, false), "bad\">worse"));
  EXPECT_TRUE(holds(chip_of({0.5, 0.5, 0.5, 0.5}, {0.4, 0.6, 0.45, 0.58}, true), "no clear change"));
  EXPECT_TRUE(holds(chip_of({0.5}, {0.9}, true), "too few pairs"));
}

TEST(RenderReport, TakesPicturesWithoutABefore) {
  Report report;
  report.grids = {{"Samples",
                   "",
                   "",
                   {{"a red cube", "", encode_png(at::ones({3, 4, 4})), kNotScored, kNotScored, "seed 1"}}}};
  const std::string page = render_report(report);
  EXPECT_TRUE(holds(page, "class=\"pairs single\""));
  EXPECT_TRUE(holds(page, "alt=\"a red cube\""));
  EXPECT_FALSE(holds(page, "<em>before</em>"));
}

}  // namespace
}  // namespace thalweg
