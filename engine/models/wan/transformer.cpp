#include "engine/models/wan/transformer.h"

#include <ATen/ATen.h>

#include "engine/models/checkpointed.h"
#include "engine/models/features.h"
#include "engine/models/fused.h"

namespace thalweg {
namespace {

constexpr double kTheta = 10000.0;

/// In float32, or as wide as it is where that is more.
at::Tensor wide(const at::Tensor& t) {
  return t.defined() ? t.to(at::promote_types(t.scalar_type(), at::kFloat)) : t;
}

Linear wide(const Linear& layer) {
  return {wide(layer.weight), wide(layer.bias), wide(layer.lora_a), wide(layer.lora_b), layer.lora_scale};
}

/// LayerNorm(x) (1 + scale) + shift in the modulation's dtype; the result in x's.
at::Tensor modulated(const at::Tensor& x_BLD, const at::Tensor& shift_B1D, const at::Tensor& scale_B1D,
                     double eps) {
  return modulated_layer_norm(wide(x_BLD), shift_B1D, scale_B1D, eps).to(x_BLD.scalar_type());
}

at::Tensor gated(const at::Tensor& x_BLD, const at::Tensor& gate_B1D, const at::Tensor& y_BLD) {
  return gated_sum(wide(x_BLD), gate_B1D, wide(y_BLD)).to(x_BLD.scalar_type());
}

at::Tensor heads_of(const at::Tensor& x_BLD, int64_t heads) {
  return x_BLD.unflatten(2, {heads, -1}).transpose(1, 2);
}

}  // namespace

WanTransformer::Attention WanTransformer::Attention::bind(const Config& c, Binder b) {
  const auto width = c.width();
  const auto linear = [&](const char* name) {
    return b.linear(name, width, width, true, Init::xavier_uniform);
  };
  Attention a;
  a.to_q = linear("to_q");
  a.to_k = linear("to_k");
  a.to_v = linear("to_v");
  a.to_out = linear("to_out.0");
  a.norm_q = b.rms_norm("norm_q", width, c.eps);
  a.norm_k = b.rms_norm("norm_k", width, c.eps);
  return a;
}

WanTransformer WanTransformer::bind(const Config& c, Binder b) {
  const auto width = c.width();
  WanTransformer t;
  t.config_ = c;
  const auto& p = c.patch_size;
  const int64_t patch = c.in_channels * c.patch_elements();
  const auto weight = b.tensor("patch_embedding.weight", {width, c.in_channels, p[0], p[1], p[2]},
                               Init::kaiming_uniform, patch);
  t.patches_ = {weight.defined() ? weight.flatten(1) : weight,
                b.tensor("patch_embedding.bias", {width}, Init::bias_of_fan_in, patch),
                {},
                {}};
  auto condition = b.sub("condition_embedder.");
  t.time_ = Embedder::bind(condition.sub("time_embedder."), c.freq_dim, width);
  t.time_proj_ = condition.linear("time_proj", width, 6 * width, true, Init::xavier_uniform);
  t.text_ = Embedder::bind(condition.sub("text_embedder."), c.text_dim, width);
  for (int64_t i = 0; i < c.num_layers; ++i) {
    auto part = b.sub("blocks." + std::to_string(i) + ".");
    Block block;
    block.heads = c.num_attention_heads;
    block.eps = c.eps;
    block.self = Attention::bind(c, part.sub("attn1."));
    block.cross = Attention::bind(c, part.sub("attn2."));
    if (c.cross_attn_norm) block.norm2 = part.layer_norm("norm2", width, c.eps);
    block.ffn = FeedForward::bind(part.sub("ffn."), width, c.ffn_dim);
    block.table_16D = part.tensor("scale_shift_table", {1, 6, width}, Init::normal_002);
    block.tensors = part.all();
    t.blocks_.push_back(std::move(block));
  }
  t.proj_out_ = b.linear("proj_out", width, c.in_channels * c.patch_elements(), true, Init::zeros);
  t.table_12D_ = b.tensor("scale_shift_table", {1, 2, width}, Init::normal_002);
  return t;
}

at::Tensor WanTransformer::tokens(const at::Tensor& x, const std::vector<int64_t>& g) const {
  const auto& p = config_.patch_size;
  return patches_(x.reshape({x.size(0), x.size(1), g[0], p[0], g[1], p[1], g[2], p[2]})
                      .permute({0, 2, 4, 6, 1, 3, 5, 7})
                      .reshape({x.size(0), g[0] * g[1] * g[2], x.size(1) * config_.patch_elements()}));
}

at::Tensor WanTransformer::video(const at::Tensor& tokens_BLD, const std::vector<int64_t>& g) const {
  const auto& p = config_.patch_size;
  return tokens_BLD
      .reshape({-1, g[0], g[1], g[2], p[0], p[1], p[2], config_.in_channels})  // channels last
      .permute({0, 7, 1, 4, 2, 5, 3, 6})
      .reshape({tokens_BLD.size(0), config_.in_channels, g[0] * p[0], g[1] * p[1], g[2] * p[2]});
}

Rotation WanTransformer::rotation(const std::vector<int64_t>& grid, at::Device device) const {
  return rotations_.get(grid, device, [&] {
    const int64_t side = 2 * (config_.attention_head_dim / 6);
    return rotation_of(grid_positions(grid[0], grid[1], grid[2]),
                       {config_.attention_head_dim - 2 * side, side, side}, kTheta, device);
  });
}

at::Tensor WanTransformer::Block::operator()(const at::Tensor& x_BLD, const at::Tensor& text_BLD,
                                             const at::Tensor& modulation_B6D,
                                             const Rotation& rotation) const {
  const auto m = (wide(table_16D) + modulation_B6D).chunk(6, 1);
  const auto y = modulated(x_BLD, m[0], m[1], eps);
  const TokenStream tokens{rms_norm(self.norm_q, self.to_q(y)),
                           rms_norm(self.norm_k, self.to_k(y)),
                           self.to_v(y),
                           {},
                           {},
                           rotation};
  auto x = gated(x_BLD, m[2], self.to_out(joint_attention(tokens, {}, heads).x_BLD));

  const auto normed =
      norm2 ? layer_norm({wide(norm2->weight), wide(norm2->bias), norm2->width, norm2->eps}, wide(x))
                  .to(x.scalar_type())
            : x;
  const auto seen = attention(heads_of(rms_norm(cross.norm_q, cross.to_q(normed)), heads),
                              heads_of(rms_norm(cross.norm_k, cross.to_k(text_BLD)), heads),
                              heads_of(cross.to_v(text_BLD), heads));
  x = x + cross.to_out(seen.transpose(1, 2).flatten(2));

  return gated(x, m[5], ffn(modulated(x, m[3], m[4], eps)));
}

at::Tensor WanTransformer::operator()(const at::Tensor& x_BCFHW, const at::Tensor& timestep_B,
                                      const at::Tensor& prompt_embeds_BLD) const {
  std::vector<int64_t> grid;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t side = x_BCFHW.size(static_cast<int64_t>(i) + 2), p = config_.patch_size[i];
    TORCH_CHECK(side % p == 0 && side / p <= config_.rope_max_seq_len, "latents of ", x_BCFHW.sizes(),
                " do not fit the patches of this model");
    grid.push_back(side / p);
  }
  const auto dtype = patches_.weight.scalar_type();
  const auto turn = rotation(grid, x_BCFHW.device());
  const auto temb_BD =
      wide(time_.linear_2)(
          at::silu(wide(time_.linear_1)(
              timestep_wave(timestep_B, config_.freq_dim).to(wide(time_.linear_1.weight).scalar_type()))))
          .to(dtype);
  const auto modulation_B6D = wide(time_proj_(at::silu(temb_BD))).unflatten(1, {6, -1});
  const auto text_BLD = text_.linear_2(gelu_tanh(text_.linear_1(prompt_embeds_BLD.to(dtype))));
  auto x_BLD = tokens(x_BCFHW.to(dtype), grid);
  int64_t index = 0;
  for (const auto& block : blocks_) {
    if (checkpointing_) {
      // A copy of the block's handles: the backward pass may outlive this transformer.
      const auto run = [block, turn](const std::vector<at::Tensor>& in) {
        return std::vector<at::Tensor>{block(in[0], in[1], in[2], turn)};
      };
      x_BLD = checkpointed(run, {x_BLD, text_BLD, modulation_B6D}, block.tensors)[0];
    } else {
      x_BLD = block(x_BLD, text_BLD, modulation_B6D, turn);
    }
    tell_features(index++, config_.num_layers, x_BLD);
  }
  const auto m = (wide(table_12D_) + temb_BD.unsqueeze(1)).chunk(2, 1);
  return video(proj_out_(modulated(x_BLD, m[0], m[1], config_.eps)), grid);
}

}  // namespace thalweg
