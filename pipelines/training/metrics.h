// Named numbers of one iteration, in the order in which they are reported.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace thalweg {

using Metrics = std::vector<std::pair<std::string, double>>;

/// Adds `value` to the metric of that name, making it if it is new.
void add_metric(Metrics& metrics, const std::string& name, double value);
/// The largest of several values; NaN is kept.
void largest_metric(Metrics& metrics, const std::string& name, double value);
/// The latest of several values.
void latest_metric(Metrics& metrics, const std::string& name, double value);

}  // namespace thalweg
