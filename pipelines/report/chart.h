// One line chart as HTML: an SVG stretched to its box for the lines, HTML text for the ticks, so that text
// keeps its size on every screen.
#pragma once

#include <string>
#include <vector>

#include "pipelines/report/report.h"

namespace thalweg {

struct Axis {
  double low = 0.0;
  double high = 1.0;
  std::vector<double> ticks;
  int decimals = 0;  // -1 = scientific
};

/// Round steps (1, 2, 2.5, 5 times a power of ten), about `count` of them, inside [low, high];
/// `stretched` axes begin and end on a tick. A range of one value is widened around it.
Axis make_axis(double low, double high, int count, bool stretched);

/// Indices of at most `most` points (and the last), which keep the extremes of each stretch of a long curve,
/// so that no spike is lost.
std::vector<size_t> thinned(const std::vector<std::pair<double, double>>& points, size_t most);

/// A <figure>; "" when no point is finite.
std::string render_chart(const Chart& chart);

}  // namespace thalweg
