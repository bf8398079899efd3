#include "engine/models/sd3/transformer.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/models/features.h"
#include "engine/models/modulation.h"
#include "engine/models/patches.h"

namespace thalweg {

Sd3Transformer Sd3Transformer::bind_trunk(const Sd3TransformerConfig& c, Binder b, int64_t depth) {
  Sd3Transformer t;
  t.config_ = c;
  const auto width = c.width();
  t.patch_proj_ = b.conv2d("pos_embed.proj", c.in_channels, width, c.patch_size, c.patch_size);
  t.pos_embed_ =
      b.tensor("pos_embed.pos_embed", {1, c.pos_embed_max_size * c.pos_embed_max_size, width}, Init::fixed);
  t.time_ = Embedder::bind(b.sub("time_text_embed.timestep_embedder."), 256, width);
  t.text_ = Embedder::bind(b.sub("time_text_embed.text_embedder."), c.pooled_projection_dim, width);
  t.context_embedder_ =
      b.linear("context_embedder", c.joint_attention_dim, width, true, Init::xavier_uniform);
  for (int64_t i = 0; i < depth; ++i) {
    const auto& dual = c.dual_attention_layers;
    t.blocks_.push_back(JointBlock::bind({.heads = c.num_attention_heads,
                                          .head_dim = c.attention_head_dim,
                                          .qk_norm = c.qk_norm,
                                          .dual = std::find(dual.begin(), dual.end(), i) != dual.end(),
                                          .last = i + 1 == c.num_layers},
                                         b.sub("transformer_blocks." + std::to_string(i) + ".")));
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

at::Tensor Sd3Transformer::tokens(const at::Tensor& x_BCHW) const {
  const int64_t p = config_.patch_size, n = config_.pos_embed_max_size;
  const int64_t rows = x_BCHW.size(2) / p, columns = x_BCHW.size(3) / p;
  TORCH_CHECK(rows <= n && columns <= n, "latents of ", x_BCHW.sizes(), " do not fit a table of ", n);
  // The patch convolution is a matrix product.
  const auto tokens_BLD = patch_proj_.over_patches()(patches_of(x_BCHW, p));
  const auto table = pos_embed_.view({n, n, -1})
                         .slice(0, (n - rows) / 2, (n - rows) / 2 + rows)
                         .slice(1, (n - columns) / 2, (n - columns) / 2 + columns);
  return tokens_BLD + table.reshape({1, rows * columns, -1});
}

at::Tensor Sd3Transformer::unpatched(const at::Tensor& tokens_BLD, int64_t rows, int64_t columns) const {
  const int64_t p = config_.patch_size, c = config_.out_channels;
  return tokens_BLD.view({-1, rows, columns, p, p, c})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({-1, c, rows * p, columns * p});
}

at::Tensor Sd3Transformer::silu_embedding(const at::Tensor& timestep_B, const at::Tensor& pooled_BD) const {
  const auto dtype = patch_proj_.weight.scalar_type();
  return at::silu(time_(timestep_wave(timestep_B).to(dtype)) + text_(pooled_BD.to(dtype)));
}

TokenStreams Sd3Transformer::run_blocks(const at::Tensor& x_BCHW, const at::Tensor& prompt_embeds_BLD,
                                        const at::Tensor& silu_temb_BD) const {
  const auto dtype = silu_temb_BD.scalar_type();
  TokenStreams s{tokens(x_BCHW.to(dtype)), context_embedder_(prompt_embeds_BLD.to(dtype))};
  int64_t index = 0;
  for (const auto& block : blocks_) {
    s = block(s, silu_temb_BD, {}, checkpointing_);
    tell_features(index++, config_.num_layers, s.x_BLD);
  }
  return s;
}

at::Tensor Sd3Transformer::operator()(const at::Tensor& x_BCHW, const at::Tensor& timestep_B,
                                      const at::Tensor& prompt_embeds_BLD,
                                      const at::Tensor& pooled_BD) const {
  const auto silu_temb_BD = silu_embedding(timestep_B, pooled_BD);
  const auto x_BLD = run_blocks(x_BCHW, prompt_embeds_BLD, silu_temb_BD).x_BLD;
  return unpatched(proj_out_(modulated_output(norm_out_, x_BLD, silu_temb_BD)),
                   x_BCHW.size(2) / config_.patch_size, x_BCHW.size(3) / config_.patch_size);
}

TokenStreams Sd3Transformer::features(const at::Tensor& x_BCHW, const at::Tensor& timestep_B,
                                      const at::Tensor& prompt_embeds_BLD,
                                      const at::Tensor& pooled_BD) const {
  return run_blocks(x_BCHW, prompt_embeds_BLD, silu_embedding(timestep_B, pooled_BD));
}

std::vector<std::string> sd3_default_lora_targets(const Sd3TransformerConfig& config) {
  std::vector<std::string> targets = {"attn.to_q",       "attn.to_k",       "attn.to_v",      "attn.to_out.0",
                                      "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"};
  if (config.num_layers > 1) targets.push_back("attn.to_add_out");  // the last block has none
  return targets;
}

}  // namespace thalweg
