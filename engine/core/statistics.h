// Small statistics for metrics and reports: means, quantiles, paired bootstrap.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thalweg {

/// Mean of the values [N] that are `valid` [N], in their own dtype; NaN when none is.
double masked_mean(const at::Tensor& values_N, const at::Tensor& valid_N);

/// Quantile `q` in [0,1] with linear interpolation between order statistics (Hyndman-Fan type 7, numpy's
/// default). NaN for no values. Throws std::invalid_argument for q outside [0,1] or NaN among the values.
double quantile(std::vector<double> values, double q);

/// Pearson's correlation of the pairs whose values are both finite; NaN below two pairs or without a spread
/// on either side. Throws std::invalid_argument when the lengths differ.
double correlation(const std::vector<double>& a, const std::vector<double>& b);

/// Spearman's: Pearson's correlation of the ranks, ties having the mean of theirs. As correlation().
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b);

/// after - before over pairs of the same prompt and seed.
struct PairedDifference {
  double mean_before = 0.0;
  double mean_after = 0.0;
  double mean = 0.0;  ///< of after - before
  double low = 0.0;   ///< 95 % percentile bootstrap of `mean`; NaN below two pairs
  double high = 0.0;
  int64_t n = 0;        ///< pairs that were scored on both sides
  int64_t dropped = 0;  ///< pairs with a value that is not finite: not scored is not 0
};

/// Pairs are resampled as pairs (Efron 1979). The same arguments give the same numbers everywhere.
/// All means are NaN when no pair is left. Throws std::invalid_argument when the lengths differ.
PairedDifference paired_difference(const std::vector<double>& before, const std::vector<double>& after,
                                   uint64_t seed = 0, int64_t resamples = 10000);

}  // namespace thalweg
