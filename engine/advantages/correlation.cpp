#include "engine/advantages/correlation.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <map>

#include "engine/core/statistics.h"

namespace thalweg {
namespace {

constexpr double kConstant = 1e-6;  // deviation

std::vector<double> column(const at::Tensor& values_GK, int64_t k) {
  const auto dense = values_GK.select(1, k).to(at::kDouble).contiguous();
  return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
}

struct Spread {
  int64_t n = 0;
  double deviation = 0.0;
};

Spread spread_of(const std::vector<double>& values) {
  Spread s;
  double mean = 0.0;
  for (const double v : values)
    if (std::isfinite(v)) mean += (v - mean) / static_cast<double>(++s.n);
  for (const double v : values)
    if (std::isfinite(v)) s.deviation += (v - mean) * (v - mean) / static_cast<double>(s.n);
  s.deviation = std::sqrt(s.deviation);
  return s;
}

}  // namespace

std::vector<double> correlation_weights(const at::Tensor& values_GK, double temperature) {
  std::vector<std::vector<double>> columns;
  std::vector<Spread> spreads;
  for (int64_t k = 0; k < values_GK.size(1); ++k) {
    columns.push_back(column(values_GK, k));
    spreads.push_back(spread_of(columns.back()));
  }
  std::vector<double> weights(columns.size(), 0.0);
  double present = 0.0, total = 0.0;
  for (const auto& s : spreads) present += s.n > 1 ? 1.0 : 0.0;
  for (size_t k = 0; k < columns.size(); ++k) {
    if (spreads[k].n < 2) continue;
    double b = 0.0;
    for (size_t j = 0; j < columns.size(); ++j) {
      if (j == k || spreads[j].n < 2) continue;
      const double c = correlation(columns[k], columns[j]);
      if (std::isfinite(c)) b += c / (present - 1.0);
    }
    if (spreads[k].deviation <= kConstant) b = 1.0;
    weights[k] = std::exp((1.0 - b) / temperature);
    total += weights[k];
  }
  for (auto& weight : weights) weight /= total > 0.0 ? total : 1.0;
  return weights;
}

GroupAdvantages correlation_advantages(const WeightedRewards& rewards, const std::vector<int64_t>& group_B,
                                       const GroupNorm& norm, double temperature) {
  const size_t K = rewards.weights_K.size();
  if (K == 1)
    return group_advantages(rewards.values_BK.select(1, 0), rewards.valid_BK.select(1, 0), group_B, norm);
  const auto columns = column_advantages(rewards, group_B, norm);
  auto sum = joined(columns);
  const auto known_BK = at::where(rewards.valid_BK, rewards.values_BK.to(at::kDouble),
                                  std::numeric_limits<double>::quiet_NaN());
  std::map<int64_t, std::vector<int64_t>> rows;
  for (size_t i = 0; i < group_B.size(); ++i) rows[group_B[i]].push_back(static_cast<int64_t>(i));
  for (const auto& [group, members] : rows) {
    const auto row_G = at::tensor(members, at::kLong);
    auto v = correlation_weights(known_BK.index_select(0, row_G), temperature);
    double total = 0.0;
    for (size_t k = 0; k < K; ++k) total += v[k] *= rewards.weights_K[k];
    if (!(total > 0.0)) continue;
    for (size_t k = 0; k < K; ++k)
      sum.values_B.index_add_(0, row_G, columns[k].values_B.index_select(0, row_G), v[k] / total);
  }
  standardise(sum, norm);
  return sum;
}

}  // namespace thalweg
