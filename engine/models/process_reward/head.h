// From tokens to one number: FiLM by the noise level, pooling by learned queries or the mean, a small network
// (PAVRM pools with one query, DiNa-LRM with four and FiLM).
#pragma once

#include "engine/models/binder.h"
#include "engine/models/process_reward/config.h"
#include "engine/models/process_reward/features.h"

namespace thalweg {

class ProcessHead {
 public:
  /// Of `streams` streams of tokens of that width. Its last layer starts at 0.
  static ProcessHead bind(const ProcessRewardConfig::Head& config, int64_t width, int64_t streams,
                          Binder binder);

  /// [B], float32.
  at::Tensor operator()(const std::vector<at::Tensor>& streams, const at::Tensor& sigma_B) const;

 private:
  at::Tensor pooled(const at::Tensor& tokens_BLD) const;

  ProcessRewardConfig::Head config_;
  Linear level_1_, level_2_, in_;
  at::Tensor stream_bias_, queries_;
  Norm norm_tokens_, norm_mixed_, norm_out_;
  Linear query_, key_, value_, mix_, up_, down_, out_1_, out_2_;
};

}  // namespace thalweg
