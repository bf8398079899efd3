#include "engine/advantages/hypervolume.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

namespace thalweg {
namespace {

bool as_good(const RewardPoint& a, const RewardPoint& b) {
  for (size_t k = 0; k < a.size(); ++k)
    if (a[k] < b[k]) return false;
  return true;
}

RewardPoint lower(RewardPoint a, const RewardPoint& b) {
  TORCH_CHECK(a.size() == b.size(), "points of different rewards");
  for (size_t k = 0; k < a.size(); ++k) a[k] = std::min(a[k], b[k]);
  return a;
}

double box(const RewardPoint& point, const RewardPoint& reference) {
  TORCH_CHECK(point.size() == reference.size(), "points of different rewards");
  double volume = 1.0;
  for (size_t k = 0; k < point.size(); ++k) volume *= std::max(point[k] - reference[k], 0.0);
  return volume;
}

}  // namespace

void add_to_front(std::vector<RewardPoint>& front, const RewardPoint& point) {
  if (std::any_of(front.begin(), front.end(), [&](const auto& f) { return as_good(f, point); })) return;
  std::erase_if(front, [&](const auto& f) { return as_good(point, f); });
  front.push_back(point);
}

// A point adds its box less what the others cover of it (While, Bradstreet and Barone 2012).
double hypervolume_contribution(const std::vector<RewardPoint>& points, const RewardPoint& point,
                                const RewardPoint& reference) {
  std::vector<RewardPoint> covered;
  for (const auto& p : points) add_to_front(covered, lower(p, point));
  return std::max(box(point, reference) - hypervolume(std::move(covered), reference), 0.0);
}

double hypervolume(std::vector<RewardPoint> points, const RewardPoint& reference) {
  std::erase_if(points, [&](const auto& p) { return box(p, reference) == 0.0; });
  std::sort(points.begin(), points.end());
  double volume = 0.0;
  while (!points.empty()) {
    const auto point = std::move(points.back());
    points.pop_back();
    volume += hypervolume_contribution(points, point, reference);
  }
  return volume;
}

double hypervolume_weight(double contribution) {
  return 0.5 + 1.5 * std::tanh(contribution);
}

}  // namespace thalweg
