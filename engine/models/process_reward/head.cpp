#include "engine/models/process_reward/head.h"

#include <ATen/ATen.h>

#include <cmath>

#include "engine/models/process_reward/noise_level.h"

namespace thalweg {
namespace {

constexpr double kEps = 1e-6;

}  // namespace

at::Tensor level_waves(const at::Tensor& sigma_B) {
  constexpr int64_t kHalf = kLevelWaves / 2;
  const auto sigma = sigma_B.to(at::kFloat);
  const auto frequency = at::exp(at::arange(kHalf, sigma.options()) * (-std::log(10000.0) / kHalf));
  const auto angle = 1000.0 * sigma.unsqueeze(1) * frequency.unsqueeze(0);
  return at::cat({angle.cos(), angle.sin()}, 1);
}

ProcessHead ProcessHead::bind(const ProcessRewardConfig::Head& c, int64_t width, int64_t streams, Binder b) {
  ProcessHead h;
  h.config_ = c;
  const auto w = c.width;
  h.level_1_ = b.linear("level_1", kLevelWaves, w);
  h.level_2_ = b.linear("level_2", w, 2 * width, true, Init::zeros);
  h.in_ = b.linear("in", width, w);
  h.stream_bias_ = b.tensor("stream_bias", {streams, w}, Init::normal_002);
  if (c.pool == "attention") {
    h.queries_ = b.tensor("queries", {c.queries, w}, Init::normal_002);
    h.norm_tokens_ = b.layer_norm("norm_tokens", w, kEps);
    h.query_ = b.linear("query", w, w);
    h.key_ = b.linear("key", w, w);
    h.value_ = b.linear("value", w, w);
    h.mix_ = b.linear("mix", w, w);
  }
  h.norm_mixed_ = b.layer_norm("norm_mixed", w, kEps);
  h.up_ = b.linear("up", w, 4 * w);
  h.down_ = b.linear("down", 4 * w, w);
  h.norm_out_ = b.layer_norm("norm_out", w, kEps);
  h.out_1_ = b.linear("out_1", w, w);
  h.out_2_ = b.linear("out_2", w, 1, true, Init::zeros);
  return h;
}

at::Tensor ProcessHead::pooled(const at::Tensor& tokens_BLD) const {
  if (config_.pool == "mean") return tokens_BLD.mean(1, /*keepdim=*/true);
  const auto heads = [&](const at::Tensor& x_BLD) {
    return x_BLD.view({x_BLD.size(0), x_BLD.size(1), config_.heads, -1}).transpose(1, 2);
  };
  const auto tokens = layer_norm(norm_tokens_, tokens_BLD);
  const auto queries = queries_.unsqueeze(0).expand({tokens.size(0), -1, -1});
  const auto mixed = attention(heads(query_(queries)), heads(key_(tokens)), heads(value_(tokens)));
  return queries + mix_(mixed.transpose(1, 2).reshape({tokens.size(0), config_.queries, config_.width}));
}

at::Tensor ProcessHead::operator()(const std::vector<at::Tensor>& streams, const at::Tensor& sigma_B) const {
  const auto film = level_2_(at::silu(level_1_(level_waves(sigma_B)))).unsqueeze(1).chunk(2, -1);
  std::vector<at::Tensor> tokens;
  for (size_t i = 0; i < streams.size(); ++i) {
    const auto x =
        at::layer_norm(streams[i], {streams[i].size(-1)}, {}, {}, kEps) * (1.0 + film[0]) + film[1];
    tokens.push_back(in_(x) + stream_bias_[static_cast<int64_t>(i)]);
  }
  auto y = pooled(tokens.size() == 1 ? tokens[0] : at::cat(tokens, 1));
  y = y + down_(at::gelu(up_(layer_norm(norm_mixed_, y))));
  return out_2_(at::silu(out_1_(layer_norm(norm_out_, y).mean(1)))).squeeze(-1);
}

}  // namespace thalweg
