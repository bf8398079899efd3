#include "engine/models/wan/vae_blocks.h"

#include <ATen/ATen.h>

#include <cmath>

namespace thalweg {
namespace {

/// `count` frames before the chunk, then the chunk: zeros before the first frame of a video.
at::Tensor with_past(const at::Tensor& x_BCFHW, int64_t count, at::Tensor* past) {
  auto shape = x_BCFHW.sizes().vec();
  shape[2] = count;
  const auto before = past && past->defined() ? *past : at::zeros(shape, x_BCFHW.options());
  auto all = at::cat({before, x_BCFHW}, 2);
  // A copy, or the whole chunk would live on.
  if (past) *past = all.slice(2, all.size(2) - count).clone();
  return all;
}

/// `layer` of each frame by itself.
template <typename Layer>
at::Tensor each_frame(const at::Tensor& x_BCFHW, const Layer& layer) {
  const int64_t batch = x_BCFHW.size(0), frames = x_BCFHW.size(2);
  const auto y = layer(x_BCFHW.transpose(1, 2).flatten(0, 1));
  return y.view({batch, frames, y.size(1), y.size(2), y.size(3)}).transpose(1, 2);
}

at::Tensor sum(at::Tensor y, const at::Tensor& x) {
  return y.requires_grad() || x.requires_grad() ? y + x : y.add_(x);
}

}  // namespace

WanConv3d WanConv3d::bind(Binder binder, const std::string& name, int64_t in, int64_t out, int64_t time,
                          int64_t side) {
  const int64_t fan_in = in * time * side * side;
  return {binder.tensor(name + ".weight", {out, in, time, side, side}, Init::kaiming_uniform, fan_in),
          binder.tensor(name + ".bias", {out}, Init::bias_of_fan_in, fan_in)};
}

at::Tensor WanConv3d::valid(const at::Tensor& x_BCFHW, int64_t stride) const {
  const int64_t around = weight.size(3) / 2;
  return at::conv3d(x_BCFHW, weight, bias, {stride, 1, 1}, {0, around, around});
}

at::Tensor WanConv3d::operator()(const at::Tensor& x_BCFHW, WanCache* cache) const {
  const int64_t back = weight.size(2) - 1;
  return valid(back == 0 ? x_BCFHW : with_past(x_BCFHW, back, cache ? &cache->next() : nullptr));
}

WanNorm WanNorm::bind(Binder binder, const std::string& name, int64_t channels, bool frames) {
  std::vector<int64_t> shape{channels, 1, 1};
  if (frames) shape.push_back(1);
  return {binder.tensor(name + ".gamma", shape, Init::ones)};
}

at::Tensor WanNorm::operator()(const at::Tensor& x) const {
  const auto type = x.scalar_type();
  const bool half = type == at::kHalf || type == at::kBFloat16;
  const auto wide = half ? x.to(at::kFloat) : x;
  const auto length = at::norm(wide, 2, {1}, /*keepdim=*/true).clamp_min(1e-12);
  auto y = (wide / length).to(type);
  const double scale = std::sqrt(static_cast<double>(x.size(1)));
  if (y.requires_grad() || gamma.requires_grad()) return y * scale * gamma;
  return y.mul_(scale).mul_(gamma);
}

at::Tensor wan_norm_silu(const WanNorm& norm, const at::Tensor& x) {
  auto y = norm(x);
  return y.requires_grad() ? at::silu(y) : at::silu_(y);
}

WanResnet WanResnet::bind(Binder binder, int64_t in, int64_t out) {
  WanResnet block;
  block.norm1 = WanNorm::bind(binder, "norm1", in, true);
  block.conv1 = WanConv3d::bind(binder, "conv1", in, out, 3, 3);
  block.norm2 = WanNorm::bind(binder, "norm2", out, true);
  block.conv2 = WanConv3d::bind(binder, "conv2", out, out, 3, 3);
  if (in != out) block.shortcut = WanConv3d::bind(binder, "conv_shortcut", in, out, 1, 1);
  return block;
}

at::Tensor WanResnet::operator()(const at::Tensor& x_BCFHW, WanCache* cache) const {
  auto y = conv1(wan_norm_silu(norm1, x_BCFHW), cache);
  y = conv2(wan_norm_silu(norm2, y), cache);
  return sum(std::move(y), shortcut ? shortcut->valid(x_BCFHW) : x_BCFHW);
}

WanVaeAttention WanVaeAttention::bind(Binder binder, int64_t channels) {
  return {WanNorm::bind(binder, "norm", channels, false), binder.conv2d("to_qkv", channels, 3 * channels, 1),
          binder.conv2d("proj", channels, channels, 1)};
}

at::Tensor WanVaeAttention::operator()(const at::Tensor& x_BCFHW, WanCache*) const {
  const auto attend = [&](const at::Tensor& x_NCHW) {
    const auto qkv = to_qkv(norm(x_NCHW)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, -1);
    const auto mixed_NLC = attention(qkv[0], qkv[1], qkv[2]).squeeze(1);
    return proj(mixed_NLC.transpose(1, 2).reshape(x_NCHW.sizes()));
  };
  return sum(each_frame(x_BCFHW, attend), x_BCFHW);
}

WanDown WanDown::bind(Binder binder, int64_t channels, bool time) {
  WanDown layer;
  layer.conv = binder.conv2d("resample.1", channels, channels, 3, 2);
  if (time) layer.time_conv = WanConv3d::bind(binder, "time_conv", channels, channels, 3, 1);
  return layer;
}

at::Tensor WanDown::operator()(const at::Tensor& x_BCFHW, WanCache* cache) const {
  const auto y = each_frame(x_BCFHW, [&](const at::Tensor& x_NCHW) {
    // One row and one column of zeros, below and to the right only.
    return conv(at::constant_pad_nd(x_NCHW, {0, 1, 0, 1}));
  });
  if (!time_conv) return y;
  at::Tensor* past = cache ? &cache->next() : nullptr;
  const bool first = !past || !past->defined();
  const auto all = first ? y : at::cat({*past, y}, 2);
  if (past) *past = y.slice(2, y.size(2) - 1).clone();
  if (!first) return time_conv->valid(all, 2);
  return y.size(2) == 1 ? y : at::cat({y.slice(2, 0, 1), time_conv->valid(all, 2)}, 2);
}

WanUp WanUp::bind(Binder binder, int64_t channels, bool time) {
  WanUp layer;
  layer.conv = binder.conv2d("resample.1", channels, channels / 2, 3, 1, 1);
  if (time) layer.time_conv = WanConv3d::bind(binder, "time_conv", channels, 2 * channels, 3, 1);
  return layer;
}

at::Tensor WanUp::operator()(const at::Tensor& x_BCFHW, WanCache* cache) const {
  auto y = x_BCFHW;
  if (time_conv) {
    // The first frame of a video stays alone, and those behind it do not see it.
    at::Tensor* past = cache ? &cache->next() : nullptr;
    const int64_t alone = past && past->defined() ? 0 : 1;
    const auto rest = x_BCFHW.slice(2, alone);
    const auto seen = with_past(rest, 2, past);
    if (rest.size(2) > 0) {
      const auto two = time_conv->valid(seen).unflatten(1, {2, x_BCFHW.size(1)});  // [B,2,C,F,H,W]
      const auto doubled = two.permute({0, 2, 3, 1, 4, 5}).flatten(2, 3);
      y = alone ? at::cat({x_BCFHW.slice(2, 0, 1), doubled}, 2) : doubled;
    }
  }
  return each_frame(y, [&](const at::Tensor& x_NCHW) {
    return conv(at::upsample_nearest2d(x_NCHW, std::vector<int64_t>{2 * x_NCHW.size(2), 2 * x_NCHW.size(3)}));
  });
}

}  // namespace thalweg
