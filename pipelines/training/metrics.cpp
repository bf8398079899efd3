#include "pipelines/training/metrics.h"

#include <algorithm>

namespace thalweg {
namespace {

double& metric(Metrics& metrics, const std::string& name, double start) {
  const auto it =
      std::find_if(metrics.begin(), metrics.end(), [&](const auto& m) { return m.first == name; });
  if (it != metrics.end()) return it->second;
  metrics.emplace_back(name, start);
  return metrics.back().second;
}

}  // namespace

void add_metric(Metrics& metrics, const std::string& name, double value) {
  metric(metrics, name, 0.0) += value;
}

void largest_metric(Metrics& metrics, const std::string& name, double value) {
  auto& largest = metric(metrics, name, value);
  if (!(value <= largest)) largest = value;  // NaN shows
}

void latest_metric(Metrics& metrics, const std::string& name, double value) {
  metric(metrics, name, value) = value;
}

}  // namespace thalweg
