// `calculate_output` of several graders: a sum of them with weights.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace thalweg::service {

/// "0.5 * a + b - 2*c": {a, 0.5}, {b, 1}, {c, -2}; names may come again, and are added up. Throws ApiError
/// (400) at `pointer` for anything else: what a job adds up is a weighted sum.
std::vector<std::pair<std::string, double>> linear_weights(const std::string& formula,
                                                           const std::string& pointer);

}  // namespace thalweg::service
