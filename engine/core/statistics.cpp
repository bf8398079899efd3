#include "engine/core/statistics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (double value : values) sum += value;
  return values.empty() ? kNan : sum / static_cast<double>(values.size());
}

double at_mean(const std::vector<double>& values) {
  return values.empty() ? kNan : at::tensor(values, at::kDouble).mean().item<double>();
}

// Means of `resamples` draws with replacement. Four indices come from one Philox block; the counter is
// (block, resample), so the result does not depend on the order of evaluation.
std::vector<double> bootstrap_means(const std::vector<double>& values, uint64_t seed, int64_t resamples) {
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  const uint64_t n = values.size();
  std::vector<double> means;
  means.reserve(static_cast<size_t>(resamples));
  for (int64_t resample = 0; resample < resamples; ++resample) {
    const auto row = static_cast<uint64_t>(resample);
    std::array<uint32_t, 4> bits{};
    double sum = 0.0;
    for (uint64_t i = 0; i < n; ++i) {
      if (i % 4 == 0)
        bits = philox(key, {static_cast<uint32_t>(i / 4), static_cast<uint32_t>(row),
                            static_cast<uint32_t>(row >> 32), 0});
      sum += values[(bits[i % 4] * n) >> 32];
    }
    means.push_back(sum / static_cast<double>(n));
  }
  return means;
}

}  // namespace

double masked_mean(const at::Tensor& values_N, const at::Tensor& valid_N) {
  const auto valid = values_N.masked_select(valid_N);
  return valid.numel() == 0 ? kNan : valid.mean().item<double>();
}

double quantile(std::vector<double> values, double q) {
  if (!(q >= 0.0 && q <= 1.0)) throw std::invalid_argument("quantile: q must lie in [0,1]");
  if (std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); }))
    throw std::invalid_argument("quantile: NaN has no order");
  if (values.empty()) return kNan;
  std::sort(values.begin(), values.end());
  const double position = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double fraction = position - static_cast<double>(below);
  if (fraction == 0.0) return values[below];  // inf * 0 would be NaN
  return values[below] * (1.0 - fraction) + values[above] * fraction;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) throw std::invalid_argument("correlation: the two sides have different lengths");
  std::vector<double> x, y;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
    x.push_back(a[i]);
    y.push_back(b[i]);
  }
  const double mean_x = mean_of(x), mean_y = mean_of(y);
  double xx = 0.0, yy = 0.0, xy = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  return xx > 0.0 && yy > 0.0 ? std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0) : kNan;
}

namespace {

// 1 to n; ties have the mean of their places.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> result(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) result[order[i]] = static_cast<double>(begin + end + 1) / 2.0;
  }
  return result;
}

}  // namespace

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) throw std::invalid_argument("rank_correlation: the lengths differ");
  std::vector<double> kept_a, kept_b;
  for (size_t i = 0; i < a.size(); ++i)
    if (std::isfinite(a[i]) && std::isfinite(b[i])) kept_a.push_back(a[i]), kept_b.push_back(b[i]);
  return correlation(ranks(kept_a), ranks(kept_b));
}

PairedDifference paired_difference(const std::vector<double>& before, const std::vector<double>& after,
                                   uint64_t seed, int64_t resamples) {
  if (before.size() != after.size())
    throw std::invalid_argument("paired_difference: the two sides have different lengths");
  if (resamples < 1) throw std::invalid_argument("paired_difference: at least one resample is needed");
  std::vector<double> kept_before, kept_after, differences;
  for (size_t i = 0; i < before.size(); ++i) {
    if (!std::isfinite(before[i]) || !std::isfinite(after[i])) continue;
    kept_before.push_back(before[i]);
    kept_after.push_back(after[i]);
    differences.push_back(after[i] - before[i]);
  }
  PairedDifference result;
  result.n = static_cast<int64_t>(differences.size());
  result.dropped = static_cast<int64_t>(before.size()) - result.n;
  // As an evaluation sums its scores: the same scores have the same mean, to the last bit.
  result.mean_before = at_mean(kept_before);
  result.mean_after = at_mean(kept_after);
  result.mean = mean_of(differences);
  result.low = result.high = kNan;
  if (result.n < 2) return result;
  const auto means = bootstrap_means(differences, seed, resamples);
  result.low = quantile(means, 0.025);
  result.high = quantile(means, 0.975);
  return result;
}

}  // namespace thalweg
