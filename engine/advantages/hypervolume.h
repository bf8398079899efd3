// Hypervolume-guided weights (arXiv 2509.11452): an update after which the rewards reached a point that no
// earlier one dominates counts for more.
#pragma once

#include <vector>

namespace thalweg {

using RewardPoint = std::vector<double>;  // [K]

/// Volume that `points` dominate above `reference`, all of the same K >= 1; what is not above it in every
/// reward counts nothing. Points in any order.
double hypervolume(std::vector<RewardPoint> points, const RewardPoint& reference);

/// What `point` adds to it; never below 0.
double hypervolume_contribution(const std::vector<RewardPoint>& points, const RewardPoint& point,
                                const RewardPoint& reference);

/// 0.5 + 1.5 tanh(contribution), in [0.5, 2).
double hypervolume_weight(double contribution);

/// Adds `point` unless a point of the front is as good in every reward, and drops those that it dominates.
void add_to_front(std::vector<RewardPoint>& front, const RewardPoint& point);

}  // namespace thalweg
