#include "pipelines/training/measures.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/statistics.h"

namespace thalweg {
namespace {

constexpr int64_t kMaxColumns = 8, kMinScored = 16;

std::vector<double> column_of(const at::Tensor& values_BK, int64_t k) {
  const auto dense = values_BK.select(1, k).contiguous();
  return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
}

// What is not defined (a correlation without a spread, a diversity of one picture) is left out.
void add_defined(const std::string& name, double value, Metrics& metrics) {
  if (std::isfinite(value)) metrics.emplace_back(name, value);
}

void add_mean(const std::string& name, const at::Tensor& values_B, const at::Tensor& valid_B,
              Metrics& metrics) {
  const auto scored = values_B.masked_select(valid_B);
  const auto n = scored.numel();
  metrics.emplace_back(name, n > 0 ? scored.mean().item<double>() : std::nan(""));
  if (n < kMinScored) return;
  const double deviation = scored.std(/*unbiased=*/true).item<double>();
  metrics.emplace_back(name + "_stderr", deviation / std::sqrt(static_cast<double>(n)));
}

}  // namespace

void add_measures(const RewardBatch& raw, const ImageStatistics& pictures,
                  const std::vector<int64_t>& group_B, Metrics& metrics) {
  const int64_t columns = std::min(raw.dimensions(), kMaxColumns);
  for (int64_t a = 0; a < columns; ++a)
    for (int64_t b = a + 1; b < columns; ++b)
      add_defined(
          "reward_corr_" + raw.names_K[static_cast<size_t>(a)] + "_" + raw.names_K[static_cast<size_t>(b)],
          correlation(column_of(raw.values_BK, a), column_of(raw.values_BK, b)), metrics);
  const auto& names = image_statistic_names();
  for (size_t s = 0; s < names.size(); ++s) {
    const auto column = pictures.values_BS.select(1, static_cast<int64_t>(s));
    add_defined(names[s], column.nanmean().item<double>(), metrics);
  }
  add_defined("diversity", picture_diversity(pictures.thumbnails_BD, group_B), metrics);
}

Metrics evaluation_metrics(const Evaluation& e) {
  Metrics metrics;
  add_mean("reward", e.total.total_B, e.total.valid_B, metrics);
  for (int64_t k = 0; k < e.rewards.dimensions(); ++k)
    add_mean(e.rewards.names_K[static_cast<size_t>(k)], e.rewards.values_BK.select(1, k),
             e.rewards.valid_BK.select(1, k), metrics);
  add_measures(e.rewards, e.pictures, std::vector<int64_t>(static_cast<size_t>(e.rewards.batch()), 0),
               metrics);
  return metrics;
}

}  // namespace thalweg
