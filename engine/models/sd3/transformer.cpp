#include "engine/models/sd3/transformer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/models/checkpointed.h"
#include "engine/models/features.h"
#include "engine/models/fused.h"

namespace thalweg {
namespace {

constexpr double kEps = 1e-6;

at::Tensor modulated(const at::Tensor& x_BLD, const at::Tensor& shift, const at::Tensor& scale) {
  return modulated_layer_norm(x_BLD, shift, scale, kEps);
}

// Shifts, scales and gates, [B,1,parts D].
at::Tensor modulation(const Linear& linear, const at::Tensor& silu_temb_BD) {
  return linear(silu_temb_BD).unsqueeze(1);
}

}  // namespace

at::Tensor Sd3Transformer::FeedForward::operator()(const at::Tensor& x) const {
  return down(gelu_tanh(up(x)));
}

Sd3Transformer::Attention Sd3Transformer::bind_attention(const Sd3TransformerConfig& c, Binder b, bool joint,
                                                         bool last) {
  const auto width = c.width();
  const auto linear = [&](const char* name) {
    return b.linear(name, width, width, true, Init::xavier_uniform);
  };
  Attention a;
  a.to_q = linear("to_q");
  a.to_k = linear("to_k");
  a.to_v = linear("to_v");
  a.to_out = linear("to_out.0");
  if (c.qk_norm) {
    a.norm_q = b.rms_norm("norm_q", c.attention_head_dim, kEps);
    a.norm_k = b.rms_norm("norm_k", c.attention_head_dim, kEps);
  }
  if (!joint) return a;
  a.add_q = linear("add_q_proj");
  a.add_k = linear("add_k_proj");
  a.add_v = linear("add_v_proj");
  if (!last) a.to_add_out = linear("to_add_out");
  if (c.qk_norm) {
    a.norm_added_q = b.rms_norm("norm_added_q", c.attention_head_dim, kEps);
    a.norm_added_k = b.rms_norm("norm_added_k", c.attention_head_dim, kEps);
  }
  return a;
}

Sd3Transformer::Block Sd3Transformer::bind_block(const Sd3TransformerConfig& c, Binder b, bool dual,
                                                 bool last) {
  const auto width = c.width();
  // adaLN-zero: gates start closed, so a fresh block is the identity.
  const auto adaln = [&](const char* name, int64_t parts) {
    return b.linear(name, width, parts * width, true, Init::zeros);
  };
  const auto feed_forward = [&](const std::string& name) {
    return FeedForward{b.linear(name + ".net.0.proj", width, 4 * width, true, Init::xavier_uniform),
                       b.linear(name + ".net.2", 4 * width, width, true, Init::xavier_uniform)};
  };
  Block block;
  block.last = last;
  block.norm1 = adaln("norm1.linear", dual ? 9 : 6);
  block.norm1_context = adaln("norm1_context.linear", last ? 2 : 6);
  block.attn = bind_attention(c, b.sub("attn."), true, last);
  if (dual) block.attn2 = bind_attention(c, b.sub("attn2."), false, false);
  block.ff = feed_forward("ff");
  if (!last) block.ff_context = feed_forward("ff_context");
  block.tensors = b.all();
  return block;
}

Sd3Transformer Sd3Transformer::bind_trunk(const Sd3TransformerConfig& c, Binder b, int64_t depth) {
  Sd3Transformer t;
  t.config_ = c;
  const auto width = c.width();
  t.patch_proj_ = b.conv2d("pos_embed.proj", c.in_channels, width, c.patch_size, c.patch_size);
  t.pos_embed_ =
      b.tensor("pos_embed.pos_embed", {1, c.pos_embed_max_size * c.pos_embed_max_size, width}, Init::fixed);
  t.time_1_ = b.linear("time_text_embed.timestep_embedder.linear_1", 256, width, true, Init::xavier_uniform);
  t.time_2_ =
      b.linear("time_text_embed.timestep_embedder.linear_2", width, width, true, Init::xavier_uniform);
  t.text_1_ = b.linear("time_text_embed.text_embedder.linear_1", c.pooled_projection_dim, width, true,
                       Init::xavier_uniform);
  t.text_2_ = b.linear("time_text_embed.text_embedder.linear_2", width, width, true, Init::xavier_uniform);
  t.context_embedder_ =
      b.linear("context_embedder", c.joint_attention_dim, width, true, Init::xavier_uniform);
  for (int64_t i = 0; i < depth; ++i) {
    const auto& dual = c.dual_attention_layers;
    t.blocks_.push_back(bind_block(c, b.sub("transformer_blocks." + std::to_string(i) + "."),
                                   std::find(dual.begin(), dual.end(), i) != dual.end(),
                                   i + 1 == c.num_layers));
  }
  return t;
}

Sd3Transformer Sd3Transformer::bind(const Sd3TransformerConfig& c, Binder b) {
  auto t = bind_trunk(c, b, c.num_layers);
  const auto width = c.width();
  t.norm_out_ = b.linear("norm_out.linear", width, 2 * width, true, Init::zeros);
  t.proj_out_ = b.linear("proj_out", width, c.patch_size * c.patch_size * c.out_channels, true, Init::zeros);
  return t;
}

at::Tensor Sd3Transformer::patches(const at::Tensor& x_BCHW) const {
  const int64_t p = config_.patch_size, n = config_.pos_embed_max_size;
  const int64_t rows = x_BCHW.size(2) / p, columns = x_BCHW.size(3) / p;
  TORCH_CHECK(rows * p == x_BCHW.size(2) && columns * p == x_BCHW.size(3) && rows <= n && columns <= n,
              "latents of ", x_BCHW.sizes(), " do not fit patches of ", p, " in a table of ", n);
  // The patch convolution is a matrix product: [B, rows, columns, C p p] x [C p p, D].
  const auto patches = x_BCHW.reshape({x_BCHW.size(0), x_BCHW.size(1), rows, p, columns, p})
                           .permute({0, 2, 4, 1, 3, 5})
                           .reshape({x_BCHW.size(0), rows * columns, x_BCHW.size(1) * p * p});
  const auto tokens = patch_proj_.over_patches()(patches);
  const auto table = pos_embed_.view({n, n, -1})
                         .slice(0, (n - rows) / 2, (n - rows) / 2 + rows)
                         .slice(1, (n - columns) / 2, (n - columns) / 2 + columns);
  return tokens + table.reshape({1, rows * columns, -1});
}

at::Tensor Sd3Transformer::unpatched(const at::Tensor& tokens_BLD, int64_t rows, int64_t columns) const {
  const int64_t p = config_.patch_size, c = config_.out_channels;
  return tokens_BLD.view({-1, rows, columns, p, p, c})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({-1, c, rows * p, columns * p});
}

at::Tensor Sd3Transformer::time_text_embedding(const at::Tensor& timestep_B,
                                               const at::Tensor& pooled_BD) const {
  constexpr int64_t kHalf = 128;
  const auto frequency = at::exp(at::arange(kHalf, timestep_B.options()) * (-std::log(10000.0) / kHalf));
  const auto angle = timestep_B.unsqueeze(1) * frequency.unsqueeze(0);
  const auto wave = at::cat({angle.cos(), angle.sin()}, 1).to(pooled_BD.scalar_type());
  return time_2_(at::silu(time_1_(wave))) + text_2_(at::silu(text_1_(pooled_BD)));
}

std::pair<at::Tensor, at::Tensor> Sd3Transformer::attend(int64_t heads, const Attention& a,
                                                         const at::Tensor& x_BLD, const at::Tensor& c_BLD) {
  const TokenStream x{a.to_q(x_BLD), a.to_k(x_BLD), a.to_v(x_BLD), a.norm_q, a.norm_k};
  if (!c_BLD.defined()) return {a.to_out(joint_attention(x, {}, heads).x_BLD), {}};
  const TokenStream c{a.add_q(c_BLD), a.add_k(c_BLD), a.add_v(c_BLD), a.norm_added_q, a.norm_added_k};
  const auto y = joint_attention(x, c, heads);
  return {a.to_out(y.x_BLD), a.to_add_out.weight.defined() ? a.to_add_out(y.context_BLD) : at::Tensor()};
}

void Sd3Transformer::run_block(int64_t heads, const Block& block, const at::Tensor& modulation,
                               const at::Tensor& context_modulation, at::Tensor& x, at::Tensor& c) {
  // Parts in order: shift, scale, gate of the attention, then of the MLP, then of the second attention.
  const auto m = modulation.chunk(block.attn2 ? 9 : 6, -1);
  const auto n = context_modulation.chunk(block.last ? 2 : 6, -1);
  // The last block's context norm is "continuous": scale comes before shift.
  const auto c_in = block.last ? modulated(c, n[1], n[0]) : modulated(c, n[0], n[1]);
  const auto [x_attn, c_attn] = attend(heads, block.attn, modulated(x, m[0], m[1]), c_in);
  const auto x_before = x;
  x = gated_sum(x, m[2], x_attn);
  if (block.attn2)
    x = gated_sum(x, m[8], attend(heads, *block.attn2, modulated(x_before, m[6], m[7]), {}).first);
  x = gated_sum(x, m[5], block.ff(modulated(x, m[3], m[4])));
  if (block.last) return;
  c = gated_sum(c, n[2], c_attn);
  c = gated_sum(c, n[5], block.ff_context(modulated(c, n[3], n[4])));
}

void Sd3Transformer::run_checkpointed(const Block& block, const at::Tensor& modulation,
                                      const at::Tensor& context_modulation, at::Tensor& x,
                                      at::Tensor& c) const {
  // A copy of the block's handles: the backward pass may outlive this transformer.
  const auto run = [heads = config_.num_attention_heads, block](const std::vector<at::Tensor>& in) {
    auto x_out = in[0], c_out = in[1];
    run_block(heads, block, in[2], in[3], x_out, c_out);
    return block.last ? std::vector<at::Tensor>{x_out} : std::vector<at::Tensor>{x_out, c_out};
  };
  const auto out = checkpointed(run, {x, c, modulation, context_modulation}, block.tensors);
  x = out[0];
  if (!block.last) c = out[1];
}

Sd3Transformer::Streams Sd3Transformer::run_blocks(const at::Tensor& x_BCHW,
                                                   const at::Tensor& prompt_embeds_BLD,
                                                   const at::Tensor& silu_temb_BD) const {
  const auto dtype = silu_temb_BD.scalar_type();
  Streams s{patches(x_BCHW.to(dtype)), context_embedder_(prompt_embeds_BLD.to(dtype))};
  int64_t index = 0;
  for (const auto& block : blocks_) {
    const auto m = modulation(block.norm1, silu_temb_BD), n = modulation(block.norm1_context, silu_temb_BD);
    if (checkpointing_)
      run_checkpointed(block, m, n, s.x_BLD, s.context_BLD);
    else
      run_block(config_.num_attention_heads, block, m, n, s.x_BLD, s.context_BLD);
    tell_features(index++, config_.num_layers, s.x_BLD);
  }
  return s;
}

at::Tensor Sd3Transformer::operator()(const at::Tensor& x_BCHW, const at::Tensor& timestep_B,
                                      const at::Tensor& prompt_embeds_BLD,
                                      const at::Tensor& pooled_BD) const {
  const auto silu_temb =
      at::silu(time_text_embedding(timestep_B, pooled_BD.to(patch_proj_.weight.scalar_type())));
  const auto x_BLD = run_blocks(x_BCHW, prompt_embeds_BLD, silu_temb).x_BLD;
  const auto n = modulation(norm_out_, silu_temb).chunk(2, -1);
  const auto out = proj_out_(modulated(x_BLD, n[1], n[0]));
  return unpatched(out, x_BCHW.size(2) / config_.patch_size, x_BCHW.size(3) / config_.patch_size);
}

Sd3Transformer::Streams Sd3Transformer::features(const at::Tensor& x_BCHW, const at::Tensor& timestep_B,
                                                 const at::Tensor& prompt_embeds_BLD,
                                                 const at::Tensor& pooled_BD) const {
  return run_blocks(
      x_BCHW, prompt_embeds_BLD,
      at::silu(time_text_embedding(timestep_B, pooled_BD.to(patch_proj_.weight.scalar_type()))));
}

std::vector<std::string> sd3_default_lora_targets(const Sd3TransformerConfig& config) {
  std::vector<std::string> targets = {"attn.to_q",       "attn.to_k",       "attn.to_v",      "attn.to_out.0",
                                      "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"};
  if (config.num_layers > 1) targets.push_back("attn.to_add_out");  // the last block has none
  return targets;
}

}  // namespace thalweg
