#include <cmath>

#include "engine/core/sha256.h"
#include "pipelines/report/chart.h"
#include "pipelines/report/sections.h"

namespace thalweg {
namespace {

constexpr size_t kMaxPoints = 4000;  // of a curve; metrics.jsonl has them all

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

template <typename Item, typename Describe>
Json list_of(const std::vector<Item>& items, const Describe& describe) {
  Json list = Json::array();
  for (const auto& item : items) list.push_back(describe(item));
  return list;
}

Json comparison_data(const Comparison& c) {
  const auto& d = c.difference;
  return {{"label", c.label},
          {"before", number(d.mean_before)},
          {"after", number(d.mean_after)},
          {"difference", number(d.mean)},
          {"low", number(d.low)},
          {"high", number(d.high)},
          {"n", d.n},
          {"dropped", d.dropped},
          {"higher_is_better", c.higher_is_better}};
}

// All points of a curve up to kMaxPoints of them; a longer one says how many it has.
Json series_data(const Series& s) {
  const auto shown = thinned(s.points, kMaxPoints);
  Json points = Json::array();
  for (const size_t i : shown) points.push_back({number(s.points[i].first), number(s.points[i].second)});
  Json data = {{"name", s.name}, {"points", std::move(points)}};
  if (shown.size() < s.points.size()) data["thinned_from"] = s.points.size();
  const auto put = [&](const char* name, const std::vector<double>& values) {
    if (values.size() != s.points.size()) return;
    for (const size_t i : shown) data[name].push_back(number(values[i]));
  };
  put("low", s.low);
  put("high", s.high);
  return data;
}

Json chart_data(const Chart& c) {
  return {{"title", c.title}, {"x", c.x_label}, {"y", c.y_label}, {"series", list_of(c.series, series_data)}};
}

Json pair_data(const PicturePair& p) {
  return {{"prompt", p.prompt},
          {"before_score", number(p.before_score)},
          {"after_score", number(p.after_score)},
          {"before_sha256", p.before.empty() ? Json(nullptr) : Json(sha256_hex(p.before))},
          {"after_sha256", sha256_hex(p.after)}};
}

Json grid_data(const GridPair& g) {
  return {{"title", g.title}, {"score", g.score_name}, {"pictures", list_of(g.pictures, pair_data)}};
}

Json table_data(const Table& t) {
  return {{"title", t.title}, {"header", t.header}, {"rows", t.rows}};
}

Json timing_data(const Timing& t) {
  return {{"phase", t.phase}, {"wall_s", t.wall_s}, {"cpu_s", number(t.cpu_s)}};
}

Json note_data(const Note& n) {
  static const char* const kLevels[] = {"info", "warning", "error"};
  return {{"level", kLevels[static_cast<int>(n.level)]}, {"text", n.text}};
}

}  // namespace

Json report_data(const Report& r) {
  Json facts = Json::object();
  for (const auto& fact : r.headline) facts[fact.label] = fact.value;
  return {{"title", r.title},
          {"subtitle", r.subtitle},
          {"status", r.status},
          {"headline", std::move(facts)},
          {"comparisons", list_of(r.comparisons, comparison_data)},
          {"charts", list_of(r.charts, chart_data)},
          {"grids", list_of(r.grids, grid_data)},
          {"tables", list_of(r.tables, table_data)},
          {"notes", list_of(r.notes, note_data)},
          {"job", r.job},
          {"time_phases", list_of(r.timings, timing_data)}};
}

namespace page {

std::string data(const Report& report) {
  std::string out = "<script type=\"application/json\" id=\"report-data\">";
  // No "</script>" or "<!--" can end the block early: '<' is written as JSON's escape.
  for (const char c : report_data(report).dump(-1, ' ', false, Json::error_handler_t::replace))
    c == '<' ? out += "\\u003c" : out += c;
  return out + "</script>\n";
}

}  // namespace page
}  // namespace thalweg
