// Group norm and SiLU in one pass over each group after its moments. Included by kernels_*.cpp alone.
#pragma once

#include <vector>

#include "engine/models/cpu/vector.h"

namespace thalweg::cpu {
namespace {

// Blocks of floats, added up in double: a group of a large picture has millions of elements.
template <typename T, typename Term>
inline double sum_over(const T* x, int64_t count, const Term& term) {
  constexpr int64_t kBlock = 4096;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    F16 partial{};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) partial += term(load(x + i));
    float rest = 0;
    for (F16 v = term(load_some(x + i, end - i)); i < end; ++i) rest += v[i % kLanes];
    total += sum(partial) + rest;
  }
  return total;
}

template <typename T>
void group_norm_silu(const T* x, const T* weight, const T* bias, T* y, float* means, float* rstds, Pictures n,
                     float eps) {
  const int64_t per_group = n.channels / n.groups, span = per_group * n.pixels;
  for (int64_t i = 0; i < n.batch * n.groups; ++i) {
    const T* from = x + i * span;
    const auto count = static_cast<double>(span);
    const auto mean = static_cast<float>(sum_over(from, span, [](F16 v) { return v; }) / count);
    const double variance = sum_over(from, span, [mean](F16 v) { return (v - mean) * (v - mean); }) / count;
    const auto rstd = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(eps)));
    if (means) means[i] = mean, rstds[i] = rstd;
    for (int64_t c = 0; c < per_group; ++c) {
      const int64_t channel = i % n.groups * per_group + c, at = i * span + c * n.pixels;
      const float factor = load_some(weight + channel, 1)[0] * rstd;
      const float offset = load_some(bias + channel, 1)[0] - mean * factor;
      for (int64_t p = 0; p < n.pixels; p += kLanes) {
        const F16 v = load_some(x + at + p, n.pixels - p) * factor + offset;
        store_some(y + at + p, v / (exponential(-v) + 1.0F), n.pixels - p);
      }
    }
  }
}

// Moments of each channel about `centre` (its own value), summed over pixels by blocks of floats in double.
template <typename T, typename Term>
inline void sums_over_pixels(const T* x, int64_t pixels, int64_t channels, std::vector<double>& totals,
                             const Term& term) {
  constexpr int64_t kBlock = 1024;
  std::fill(totals.begin(), totals.end(), 0.0);
  for (int64_t begin = 0; begin < pixels; begin += kBlock) {
    const int64_t end = begin + kBlock < pixels ? begin + kBlock : pixels;
    for (int64_t c = 0; c < channels; c += kLanes) {
      F16 partial{};
      for (int64_t p = begin; p < end; ++p) partial += term(load(x + p * channels + c), c);
      for (int64_t i = 0; i < kLanes; ++i) totals[static_cast<size_t>(c + i)] += partial[i];
    }
  }
}

// Each channel's number becomes its group's mean.
inline void group_means(std::vector<double>& totals, int64_t per_group, int64_t pixels) {
  for (size_t first = 0; first < totals.size(); first += static_cast<size_t>(per_group)) {
    double total = 0;
    for (size_t c = first; c < first + static_cast<size_t>(per_group); ++c) total += totals[c];
    for (size_t c = first; c < first + static_cast<size_t>(per_group); ++c)
      totals[c] = total / static_cast<double>(per_group * pixels);
  }
}

template <typename T>
void group_norm_silu_interleaved(const T* x, const T* weight, const T* bias, T* y, float* kept_means,
                                 float* kept_rstds, Pictures n, float eps) {
  const int64_t per_group = n.channels / n.groups;
  const auto channels = static_cast<size_t>(n.channels);
  std::vector<double> means(channels), variances(channels);
  std::vector<float> centre(channels), factor(channels), offset(channels);
  for (int64_t b = 0; b < n.batch; ++b) {
    const T* from = x + b * n.pixels * n.channels;
    T* to = y + b * n.pixels * n.channels;
    sums_over_pixels(from, n.pixels, n.channels, means, [](F16 v, int64_t) { return v; });
    group_means(means, per_group, n.pixels);
    for (size_t c = 0; c < channels; ++c) centre[c] = static_cast<float>(means[c]);
    sums_over_pixels(from, n.pixels, n.channels, variances, [&](F16 v, int64_t c) {
      const F16 e = v - load(centre.data() + c);
      return e * e;
    });
    group_means(variances, per_group, n.pixels);
    for (size_t c = 0; c < channels; ++c) {
      const auto rstd = static_cast<float>(1.0 / std::sqrt(variances[c] + static_cast<double>(eps)));
      factor[c] = load_some(weight + c, 1)[0] * rstd;
      offset[c] = load_some(bias + c, 1)[0] - centre[c] * factor[c];
      const size_t group = static_cast<size_t>(b * n.groups) + c / static_cast<size_t>(per_group);
      if (kept_means) kept_means[group] = centre[c], kept_rstds[group] = rstd;
    }
    for (int64_t p = 0; p < n.pixels; ++p)
      for (int64_t c = 0; c < n.channels; c += kLanes) {
        const int64_t at = p * n.channels + c;
        const F16 v = load(from + at) * load(factor.data() + c) + load(offset.data() + c);
        store(to + at, v / (exponential(-v) + 1.0F));
      }
  }
}

}  // namespace
}  // namespace thalweg::cpu
