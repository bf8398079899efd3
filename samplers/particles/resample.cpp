#include "samplers/particles/resample.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/core/names.h"

namespace thalweg {
namespace {

// N w / sum w.
std::vector<double> expected_offspring(const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  TORCH_CHECK(sum > 0.0 && std::isfinite(sum), "weights that cannot be resampled: their sum is ", sum);
  auto expected = weights;
  for (auto& w : expected) w *= static_cast<double>(weights.size()) / sum;
  return expected;
}

// Sums so far. What rounding leaves of `total` goes to the last particle with a weight, never to one without.
std::vector<double> cumulative(const std::vector<double>& weights, double total) {
  std::vector<double> sums(weights.size());
  std::partial_sum(weights.begin(), weights.end(), sums.begin());
  for (size_t i = weights.size(); i-- > 0;) {
    sums[i] = total;
    if (weights[i] > 0.0) break;
  }
  return sums;
}

struct Named {
  const char* name;
  Resampling resampling;
};
constexpr Named kResamplings[] = {{"systematic", systematic}, {"ssp", ssp}, {"multinomial", multinomial}};

}  // namespace

std::vector<int64_t> systematic(const std::vector<double>& weights, const Uniforms& uniforms) {
  const double u = uniforms(0);
  const auto count = static_cast<double>(weights.size());
  const auto sums = cumulative(expected_offspring(weights), count);
  std::vector<int64_t> offspring(weights.size());
  int64_t before = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    // Points u, u + 1, ... below the sum; a u next to 1 must not be rounded out of the last one.
    const double points = sums[i] < count ? std::ceil(sums[i] - u) : count;
    const auto below = std::max(before, static_cast<int64_t>(points));
    offspring[i] = below - before;
    before = below;
  }
  return offspring;
}

std::vector<int64_t> ssp(const std::vector<double>& weights, const Uniforms& uniforms) {
  const auto expected = expected_offspring(weights);
  const auto count = static_cast<int64_t>(weights.size());
  std::vector<int64_t> offspring(weights.size());
  int64_t sum = 0;
  size_t open = weights.size();  // the particle whose fraction is not decided yet
  double a = 0.0;                // that fraction
  for (size_t j = 0; j < weights.size(); ++j) {
    offspring[j] = static_cast<int64_t>(expected[j]);
    sum += offspring[j];
    const double b = expected[j] - static_cast<double>(offspring[j]);
    if (b == 0.0) continue;
    if (open == weights.size()) {
      open = j;
      a = b;
      continue;
    }
    // Of the pair, one fraction falls and the other rises by as much, until one of them is 0 or 1.
    const double to_open = std::min(1.0 - a, b), to_j = std::min(a, 1.0 - b);
    const bool open_rises = uniforms(static_cast<int64_t>(j)) * (to_open + to_j) < to_j;
    const double risen = open_rises ? a : b, fallen = open_rises ? b : a;
    const size_t riser = open_rises ? open : j, faller = open_rises ? j : open;
    if (risen + fallen >= 1.0) {  // the one that rises is decided
      ++offspring[riser];
      ++sum;
      open = faller;
      a = risen + fallen - 1.0;
    } else {  // the one that falls is
      open = riser;
      a = risen + fallen;
    }
  }
  // The fraction left is 0 or 1 but for rounding.
  if (open < weights.size()) {
    offspring[open] += count - sum;
    sum = count;
  }
  TORCH_CHECK(sum == count && *std::min_element(offspring.begin(), offspring.end()) >= 0,
              "resampling lost particles");
  return offspring;
}

std::vector<int64_t> multinomial(const std::vector<double>& weights, const Uniforms& uniforms) {
  const auto total = static_cast<double>(weights.size());
  const auto sums = cumulative(expected_offspring(weights), total);
  std::vector<int64_t> offspring(weights.size());
  for (int64_t k = 0; k < static_cast<int64_t>(weights.size()); ++k) {
    const auto at = std::upper_bound(sums.begin(), sums.end(), uniforms(k) * total);
    ++offspring[static_cast<size_t>(at - sums.begin())];
  }
  return offspring;
}

Resampling resampling_named(const std::string& name) {
  for (const auto& row : kResamplings)
    if (name == row.name) return row.resampling;
  TORCH_CHECK(false, "knows no resampling \"", name, "\"");
}

const std::vector<std::string>& resampling_names() {
  static const auto names = names_of(kResamplings);
  return names;
}

std::vector<int64_t> ancestors_of(const std::vector<int64_t>& offspring) {
  std::vector<int64_t> ancestors(offspring.size());
  size_t free = 0;
  for (size_t i = 0; i < offspring.size(); ++i) {
    if (offspring[i] == 0) continue;
    ancestors[i] = static_cast<int64_t>(i);
    for (int64_t copy = 1; copy < offspring[i]; ++copy) {
      while (offspring[free] > 0) ++free;
      ancestors[free++] = static_cast<int64_t>(i);
    }
  }
  return ancestors;
}

int64_t draw_index(const std::vector<double>& weights, double uniform) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  TORCH_CHECK(total > 0.0 && std::isfinite(total), "weights that cannot be drawn from: their sum is ", total);
  const auto sums = cumulative(weights, total);
  return std::upper_bound(sums.begin(), sums.end(), uniform * total) - sums.begin();
}

}  // namespace thalweg
