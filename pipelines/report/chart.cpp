#include "pipelines/report/chart.h"
#include "pipelines/report/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "pipelines/report/html.h"

namespace thalweg {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr double kBox = 1000.0;  // side of the view box; the page stretches it
constexpr size_t kColours = 8;
constexpr size_t kMaxPoints = 800, kMaxDots = 32;

bool is_finite(const std::pair<double, double>& point) {
  return std::isfinite(point.first) && std::isfinite(point.second);
}

struct Frame {
  Axis x, y;

  std::string at(double px, double py) const {
    char text[64];
    std::snprintf(text, sizeof text, "%.1f %.1f", kBox * (px - x.low) / (x.high - x.low),
                  kBox * (1.0 - (py - y.low) / (y.high - y.low)));
    return text;
  }
};

std::string tick_label(double value, const Axis& axis) {
  char text[32];
  if (axis.decimals < 0)
    std::snprintf(text, sizeof text, "%.1e", value);
  else
    std::snprintf(text, sizeof text, "%.*f", axis.decimals, std::fabs(value) < 1e-300 ? 0.0 : value);
  return text;
}

bool has_band(const Series& series) {
  return !series.points.empty() && series.low.size() == series.points.size() &&
         series.high.size() == series.points.size();
}

bool frame_of(const Chart& chart, Frame& frame) {
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
  const auto widen = [](double& low, double& high, double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  };
  for (const auto& series : chart.series)
    for (size_t i = 0; i < series.points.size(); ++i) {
      if (!is_finite(series.points[i])) continue;
      widen(x_low, x_high, series.points[i].first);
      widen(y_low, y_high, series.points[i].second);
      if (!has_band(series)) continue;
      widen(y_low, y_high, series.low[i]);
      widen(y_low, y_high, series.high[i]);
    }
  if (x_low > x_high) return false;
  frame.x = make_axis(x_low, x_high, 6, false);
  frame.y = make_axis(y_low, y_high, 4, true);
  return true;
}

std::string line_path(const Points& points, const Frame& frame) {
  std::string path;
  bool pen_down = false;
  for (size_t i : thinned(points, kMaxPoints)) {
    const bool finite = is_finite(points[i]);
    if (finite) path += (pen_down ? "L" : "M") + frame.at(points[i].first, points[i].second);
    pen_down = finite;
  }
  return path;
}

// A line of no length with round ends is a dot that stretching cannot squash.
std::string dots_path(const Points& points, const Frame& frame) {
  std::string path;
  const auto finite = std::count_if(points.begin(), points.end(), is_finite);
  size_t seen = 0;
  for (const auto& point : points) {
    if (!is_finite(point)) continue;
    const bool last = ++seen == static_cast<size_t>(finite);
    if (last || static_cast<size_t>(finite) <= kMaxDots)
      path += "M" + frame.at(point.first, point.second) + "h0";
  }
  return path;
}

std::string band_path(const Series& series, const Frame& frame) {
  std::string there, back;
  for (size_t i : thinned(series.points, kMaxPoints)) {
    if (!is_finite(series.points[i]) || !std::isfinite(series.low[i]) || !std::isfinite(series.high[i]))
      continue;
    there += (there.empty() ? "M" : "L") + frame.at(series.points[i].first, series.high[i]);
    back.insert(0, "L" + frame.at(series.points[i].first, series.low[i]));
  }
  return there.empty() ? "" : there + back + "Z";
}

std::string svg_of(const Chart& chart, const Frame& frame) {
  std::string svg =
      "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"rule\" "
      "d=\"";
  for (double tick : frame.y.ticks) svg += "M" + frame.at(frame.x.low, tick) + "H1000";
  svg += "\"/>";
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    svg += "<g class=\"c" + std::to_string(i % kColours) + "\">";
    if (has_band(series)) svg += "<path class=\"band\" d=\"" + band_path(series, frame) + "\"/>";
    svg += "<path class=\"line\" d=\"" + line_path(series.points, frame) + "\"/><path class=\"dots\" d=\"" +
           dots_path(series.points, frame) + "\"/></g>";
  }
  return svg + "</svg>";
}

std::string ticks_of(const Frame& frame) {
  std::string out;
  for (double tick : frame.y.ticks)
    out += "<span class=\"ty\" style=\"top:" +
           html::percent(1.0 - (tick - frame.y.low) / (frame.y.high - frame.y.low)) + "\">" +
           tick_label(tick, frame.y) + "</span>";
  for (double tick : frame.x.ticks)
    out += "<span class=\"tx\" style=\"left:" +
           html::percent((tick - frame.x.low) / (frame.x.high - frame.x.low)) + "\">" +
           tick_label(tick, frame.x) + "</span>";
  return out;
}

// What the pointer reads: the same thinned points as numbers.
std::string data_of(const Chart& chart, const Frame& frame) {
  Json data = {{"x", chart.x_label}, {"low", frame.x.low}, {"high", frame.x.high}, {"series", Json::array()}};
  for (size_t i = 0; i < chart.series.size(); ++i) {
    Json points = Json::array();
    for (size_t k : thinned(chart.series[i].points, kMaxPoints)) {
      const auto& point = chart.series[i].points[k];
      if (is_finite(point)) points.push_back({point.first, point.second, format_number(point.second)});
    }
    data["series"].push_back({{"name", chart.series[i].name}, {"c", i % kColours}, {"p", std::move(points)}});
  }
  return html::escape(data.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::vector<size_t> thinned(const Points& points, size_t most) {
  std::vector<size_t> kept;
  const size_t count = points.size(), buckets = most / 2;
  if (count <= most) {
    for (size_t i = 0; i < count; ++i) kept.push_back(i);
    return kept;
  }
  for (size_t bucket = 0; bucket < buckets; ++bucket) {
    const size_t begin = bucket * count / buckets, end = (bucket + 1) * count / buckets;
    size_t low = begin, high = begin;
    for (size_t i = begin; i < end; ++i) {
      if (!is_finite(points[i])) low = high = i;
      if (points[i].second < points[low].second) low = i;
      if (points[i].second > points[high].second) high = i;
    }
    kept.push_back(std::min(low, high));
    if (low != high) kept.push_back(std::max(low, high));
  }
  if (kept.back() != count - 1) kept.push_back(count - 1);
  return kept;
}

Axis make_axis(double low, double high, int count, bool stretched) {
  if (!(high - low > 1e-12 * std::max(std::fabs(low), std::fabs(high)))) {
    const double room = low == 0.0 ? 1.0 : std::fabs(low) * 0.1;
    low -= room;
    high += room;
  }
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10.0 * power;
  for (double factor : {5.0, 2.5, 2.0, 1.0})
    if (factor * power >= rough * 0.999) step = factor * power;
  Axis axis{low, high, {}, 0};
  if (stretched) {
    axis.low = std::floor(low / step + 1e-9) * step;
    axis.high = std::ceil(high / step - 1e-9) * step;
  }
  const auto first = static_cast<int64_t>(std::ceil(axis.low / step - 1e-9));
  const auto last = static_cast<int64_t>(std::floor(axis.high / step + 1e-9));
  for (int64_t i = first; i <= last; ++i) axis.ticks.push_back(static_cast<double>(i) * step);
  // As many decimals as the step has: 0.25 needs one more than 0.2.
  const double exponent = std::log10(step);
  const int quarter = std::fabs(step / power - 2.5) < 1e-6 ? 1 : 0;
  axis.decimals = std::max(0, static_cast<int>(-std::floor(exponent + 1e-9)) + quarter);
  const double largest = std::max(std::fabs(axis.low), std::fabs(axis.high));
  // Powers of ten where they are shorter and still tell the ticks apart: not for 0.93171, 0.93172.
  const bool tell_apart = step > 0.04 * largest;
  if (largest >= 1e7 || axis.decimals > (tell_apart ? 4 : 7)) axis.decimals = -1;
  return axis;
}

std::string render_chart(const Chart& chart) {
  Frame frame;
  if (!frame_of(chart, frame)) return "";
  std::string legend, spoken = chart.title + ": ";
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    const auto last = std::find_if(series.points.rbegin(), series.points.rend(), is_finite);
    const auto first = std::find_if(series.points.begin(), series.points.end(), is_finite);
    if (last == series.points.rend()) continue;
    const std::string value = format_number(last->second);
    legend += "<li class=\"c" + std::to_string(i % kColours) + "\"><i></i>" + html::escape(series.name) +
              " <b>" + value + "</b></li>";
    spoken += series.name + " from " + format_number(first->second) + " to " + value + ". ";
  }
  std::string out = "<figure class=\"card chart\"><figcaption><h3>" + html::escape(chart.title) +
                    "</h3><ul class=\"legend\">" + legend + "</ul></figcaption><p class=\"unit\">" +
                    (chart.y_label == chart.title ? "" : html::escape(chart.y_label)) + "</p>";
  out += "<div class=\"plot\" role=\"img\" aria-label=\"" + html::escape(spoken) + "\" data-chart=\"" +
         data_of(chart, frame) + "\"><div class=\"area\">" + svg_of(chart, frame) + ticks_of(frame) +
         "</div></div>";
  out += "<p class=\"unit below\">" + html::escape(chart.x_label) + "</p>";
  if (!chart.note.empty()) out += "<p class=\"note\">" + html::escape(chart.note) + "</p>";
  return out + "</figure>\n";
}

}  // namespace thalweg
