// Tables of rewards and advantages, as tests write them.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/advantages/gdpo.h"

namespace thalweg {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// A row a sample; NaN: not scored.
inline WeightedRewards weighted_rewards(const std::vector<std::vector<double>>& rows,
                                        const std::vector<double>& weights_K) {
  std::vector<at::Tensor> stacked;
  for (const auto& row : rows) stacked.push_back(at::tensor(row, at::kDouble));
  const auto values_BK = at::stack(stacked);
  return {values_BK, values_BK.isfinite(), weights_K};
}

inline std::vector<double> listed(const at::Tensor& values) {
  const auto v = values.to(at::kDouble).contiguous();
  return {v.const_data_ptr<double>(), v.const_data_ptr<double>() + v.numel()};
}

inline void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
                        double tolerance = 1e-12) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
}

inline void expect_listed(const at::Tensor& values, const std::vector<double>& expected,
                          double tolerance = 1e-12) {
  expect_near(listed(values), expected, tolerance);
}

}  // namespace thalweg
