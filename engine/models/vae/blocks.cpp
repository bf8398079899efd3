#include "engine/models/vae/blocks.h"

#include <ATen/ATen.h>

#include "engine/models/fused.h"

namespace thalweg {
namespace {

at::Tensor run(const std::vector<VaeResnet>& resnets, at::Tensor x_BCHW) {
  for (const auto& resnet : resnets) x_BCHW = resnet(x_BCHW);
  return x_BCHW;
}

}  // namespace

VaeResnet VaeResnet::bind(Binder binder, int64_t in, int64_t out, int64_t groups) {
  VaeResnet block;
  block.norm1 = binder.group_norm("norm1", groups, in, kVaeNormEps);
  block.conv1 = binder.conv2d("conv1", in, out, 3, 1, 1);
  block.norm2 = binder.group_norm("norm2", groups, out, kVaeNormEps);
  block.conv2 = binder.conv2d("conv2", out, out, 3, 1, 1);
  if (in != out) block.shortcut = binder.conv2d("conv_shortcut", in, out, 1);
  return block;
}

at::Tensor VaeResnet::operator()(const at::Tensor& x_BCHW) const {
  auto y_BCHW = conv2(group_norm_silu(norm2, conv1(group_norm_silu(norm1, x_BCHW))));
  const auto base_BCHW = shortcut ? (*shortcut)(x_BCHW) : x_BCHW;
  return y_BCHW.requires_grad() || base_BCHW.requires_grad() ? y_BCHW + base_BCHW : y_BCHW.add_(base_BCHW);
}

VaeAttention VaeAttention::bind(Binder binder, int64_t channels, int64_t groups) {
  VaeAttention block;
  block.norm = binder.group_norm("group_norm", groups, channels, kVaeNormEps);
  block.to_q = binder.linear("to_q", channels, channels);
  block.to_k = binder.linear("to_k", channels, channels);
  block.to_v = binder.linear("to_v", channels, channels);
  block.to_out = binder.linear("to_out.0", channels, channels);
  return block;
}

at::Tensor VaeAttention::operator()(const at::Tensor& x_BCHW) const {
  const auto tokens_BLC = group_norm(norm, x_BCHW).flatten(2).transpose(1, 2);
  const auto head = [&](const Linear& layer) { return layer(tokens_BLC).unsqueeze(1); };
  const auto mixed_BLC = attention(head(to_q), head(to_k), head(to_v)).squeeze(1);
  return x_BCHW + to_out(mixed_BLC).transpose(1, 2).view_as(x_BCHW);
}

VaeMidBlock VaeMidBlock::bind(Binder binder, int64_t channels, int64_t groups, bool add_attention) {
  VaeMidBlock block;
  block.first = VaeResnet::bind(binder.sub("resnets.0."), channels, channels, groups);
  if (add_attention) block.attention = VaeAttention::bind(binder.sub("attentions.0."), channels, groups);
  block.second = VaeResnet::bind(binder.sub("resnets.1."), channels, channels, groups);
  return block;
}

at::Tensor VaeMidBlock::operator()(const at::Tensor& x_BCHW) const {
  const auto y_BCHW = first(x_BCHW);
  return second(attention ? (*attention)(y_BCHW) : y_BCHW);
}

VaeScale VaeScale::bind_down(Binder binder, int64_t in, int64_t out, int64_t layers, int64_t groups,
                             bool halve) {
  VaeScale scale;
  for (int64_t i = 0; i < layers; ++i)
    scale.resnets.push_back(
        VaeResnet::bind(binder.sub("resnets." + std::to_string(i) + "."), i == 0 ? in : out, out, groups));
  if (halve) scale.resample = binder.conv2d("downsamplers.0.conv", out, out, 3, 2);
  return scale;
}

VaeScale VaeScale::bind_up(Binder binder, int64_t in, int64_t out, int64_t layers, int64_t groups,
                           bool twice) {
  VaeScale scale;
  for (int64_t i = 0; i < layers; ++i)
    scale.resnets.push_back(
        VaeResnet::bind(binder.sub("resnets." + std::to_string(i) + "."), i == 0 ? in : out, out, groups));
  if (twice) scale.resample = binder.conv2d("upsamplers.0.conv", out, out, 3, 1, 1);
  return scale;
}

at::Tensor VaeScale::down(at::Tensor x_BCHW) const {
  x_BCHW = run(resnets, std::move(x_BCHW));
  // One row and one column of zeros, below and to the right only.
  return resample ? (*resample)(at::constant_pad_nd(x_BCHW, {0, 1, 0, 1})) : x_BCHW;
}

at::Tensor VaeScale::up(at::Tensor x_BCHW) const {
  x_BCHW = run(resnets, std::move(x_BCHW));
  if (!resample) return x_BCHW;
  const std::vector<int64_t> twice{2 * x_BCHW.size(2), 2 * x_BCHW.size(3)};
  return (*resample)(at::upsample_nearest2d(x_BCHW, twice));
}

}  // namespace thalweg
