// The gradient of silu(group_norm(x)): one pass for the sums over groups, one for the result. Included by
// kernels_*.cpp alone.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/models/cpu/vector.h"

namespace thalweg::cpu {
namespace {

// d silu(u) / d u.
inline F16 silu_slope(F16 u) {
  const F16 sigmoid = 1.0F / (exponential(-u) + 1.0F);
  return sigmoid * (u * (1.0F - sigmoid) + 1.0F);
}

// With normed = (x - mean) rstd and u = weight normed + bias, a channel's sums over pixels of g_u and of
// g_u normed give the gradients of bias and weight, and, weighed and summed over the group, that of x:
// rstd (weight g_u - sum_u / n - normed sum_normed / n).
struct ChannelGradient {
  std::vector<float> mean, rstd, weight, bias;  // of the sample at hand
  std::vector<double> sum_u, sum_normed;
  std::vector<float> centre, tilt;  // what the group's sums take away, without and with normed

  template <typename T>
  ChannelGradient(const T* weights, const T* biases, size_t channels)
      : mean(channels),
        rstd(channels),
        weight(channels),
        bias(channels),
        sum_u(channels),
        sum_normed(channels),
        centre(channels),
        tilt(channels) {
    for (size_t c = 0; c < channels; ++c) {
      weight[c] = load_some(weights + c, 1)[0];
      bias[c] = load_some(biases + c, 1)[0];
    }
  }

  void begin(const float* means, const float* rstds, int64_t per_group) {
    std::fill(sum_u.begin(), sum_u.end(), 0.0);
    std::fill(sum_normed.begin(), sum_normed.end(), 0.0);
    for (size_t c = 0; c < mean.size(); ++c) {
      mean[c] = means[c / static_cast<size_t>(per_group)];
      rstd[c] = rstds[c / static_cast<size_t>(per_group)];
    }
  }

  void sum_groups(float* g_weight, float* g_bias, int64_t per_group, int64_t pixels) {
    const auto count = static_cast<double>(per_group * pixels);
    for (size_t first = 0; first < mean.size(); first += static_cast<size_t>(per_group)) {
      double all_u = 0.0, all_normed = 0.0;
      for (size_t c = first; c < first + static_cast<size_t>(per_group); ++c) {
        all_u += static_cast<double>(weight[c]) * sum_u[c];
        all_normed += static_cast<double>(weight[c]) * sum_normed[c];
      }
      for (size_t c = first; c < first + static_cast<size_t>(per_group); ++c) {
        centre[c] = static_cast<float>(all_u / count);
        tilt[c] = static_cast<float>(all_normed / count);
      }
    }
    for (size_t c = 0; g_weight && c < mean.size(); ++c) {
      g_weight[c] += static_cast<float>(sum_normed[c]);
      g_bias[c] += static_cast<float>(sum_u[c]);
    }
  }
};

template <typename T>
void group_norm_silu_backward(const T* g, const T* x, const T* weight, const T* bias, const float* means,
                              const float* rstds, T* g_x, float* g_weight, float* g_bias, Pictures n) {
  constexpr int64_t kBlock = 4096;
  const int64_t per_group = n.channels / n.groups;
  ChannelGradient s(weight, bias, static_cast<size_t>(n.channels));
  for (int64_t b = 0; b < n.batch; ++b) {
    s.begin(means + b * n.groups, rstds + b * n.groups, per_group);
    for (size_t c = 0; c < s.mean.size(); ++c) {
      const int64_t at = (b * n.channels + static_cast<int64_t>(c)) * n.pixels;
      for (int64_t begin = 0; begin < n.pixels; begin += kBlock) {
        const int64_t end = begin + kBlock < n.pixels ? begin + kBlock : n.pixels;
        F16 of_u{}, of_normed{};
        for (int64_t p = begin; p < end; p += kLanes) {
          const F16 normed = (load_some(x + at + p, end - p) - s.mean[c]) * s.rstd[c];
          // Beyond the end gradients are 0, whatever the rest is.
          const F16 g_u = load_some(g + at + p, end - p) * silu_slope(normed * s.weight[c] + s.bias[c]);
          of_u += g_u;
          of_normed += g_u * normed;
        }
        s.sum_u[c] += static_cast<double>(sum(of_u));
        s.sum_normed[c] += static_cast<double>(sum(of_normed));
      }
    }
    s.sum_groups(g_weight, g_bias, per_group, n.pixels);
    for (size_t c = 0; c < s.mean.size(); ++c) {
      const int64_t at = (b * n.channels + static_cast<int64_t>(c)) * n.pixels;
      for (int64_t p = 0; p < n.pixels; p += kLanes) {
        const int64_t left = n.pixels - p;
        const F16 normed = (load_some(x + at + p, left) - s.mean[c]) * s.rstd[c];
        const F16 g_u = load_some(g + at + p, left) * silu_slope(normed * s.weight[c] + s.bias[c]);
        store_some(g_x + at + p, (g_u * s.weight[c] - s.centre[c] - normed * s.tilt[c]) * s.rstd[c], left);
      }
    }
  }
}

template <typename T>
void group_norm_silu_backward_interleaved(const T* g, const T* x, const T* weight, const T* bias,
                                          const float* means, const float* rstds, T* g_x, float* g_weight,
                                          float* g_bias, Pictures n) {
  constexpr int64_t kBlock = 1024;
  const int64_t per_group = n.channels / n.groups;
  ChannelGradient s(weight, bias, static_cast<size_t>(n.channels));
  const auto of = [](const std::vector<float>& values, int64_t c) { return load(values.data() + c); };
  for (int64_t b = 0; b < n.batch; ++b) {
    const int64_t start = b * n.pixels * n.channels;
    s.begin(means + b * n.groups, rstds + b * n.groups, per_group);
    for (int64_t begin = 0; begin < n.pixels; begin += kBlock) {
      const int64_t end = begin + kBlock < n.pixels ? begin + kBlock : n.pixels;
      for (int64_t c = 0; c < n.channels; c += kLanes) {
        const F16 mean = of(s.mean, c), rstd = of(s.rstd, c), factor = of(s.weight, c),
                  offset = of(s.bias, c);
        F16 of_u{}, of_normed{};
        for (int64_t p = begin; p < end; ++p) {
          const int64_t at = start + p * n.channels + c;
          const F16 normed = (load(x + at) - mean) * rstd;
          const F16 g_u = load(g + at) * silu_slope(normed * factor + offset);
          of_u += g_u;
          of_normed += g_u * normed;
        }
        for (int64_t i = 0; i < kLanes; ++i) {
          s.sum_u[static_cast<size_t>(c + i)] += static_cast<double>(of_u[i]);
          s.sum_normed[static_cast<size_t>(c + i)] += static_cast<double>(of_normed[i]);
        }
      }
    }
    s.sum_groups(g_weight, g_bias, per_group, n.pixels);
    for (int64_t p = 0; p < n.pixels; ++p)
      for (int64_t c = 0; c < n.channels; c += kLanes) {
        const int64_t at = start + p * n.channels + c;
        const F16 rstd = of(s.rstd, c), normed = (load(x + at) - of(s.mean, c)) * rstd;
        const F16 g_u = load(g + at) * silu_slope(normed * of(s.weight, c) + of(s.bias, c));
        store(g_x + at, (g_u * of(s.weight, c) - of(s.centre, c) - normed * of(s.tilt, c)) * rstd);
      }
  }
}

}  // namespace
}  // namespace thalweg::cpu
