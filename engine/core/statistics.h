// Small statistics for metrics and reports: running moments, quantiles, paired bootstrap.
#pragma once

#include <cstdint>
#include <vector>

namespace thalweg {

/// Mean and spread of a stream in one pass (Welford 1962). Values that are not finite are counted apart.
class RunningMoments {
 public:
  void add(double value);

  int64_t count() const { return count_; }
  int64_t dropped() const { return dropped_; }
  double mean() const;      ///< NaN when nothing was added
  double variance() const;  ///< unbiased (n - 1); NaN below two values
  double std() const;       ///< square root of variance()

 private:
  int64_t count_ = 0;
  int64_t dropped_ = 0;
  double mean_ = 0.0;
  double squares_ = 0.0;
};

/// Quantile `q` in [0,1] with linear interpolation between order statistics (Hyndman-Fan type 7, numpy's
/// default). NaN for no values. Throws std::invalid_argument for q outside [0,1] or NaN among the values.
double quantile(std::vector<double> values, double q);

/// Pearson's correlation of the pairs whose values are both finite; NaN below two pairs or without a spread
/// on either side. Throws std::invalid_argument when the lengths differ.
double correlation(const std::vector<double>& a, const std::vector<double>& b);

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
