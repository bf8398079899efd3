#include "engine/models/flux/transformer.h"

#include <ATen/ATen.h>

#include "engine/models/features.h"
#include "engine/models/modulation.h"
#include "engine/models/patches.h"

namespace thalweg {
namespace {

constexpr double kTheta = 10000.0;
constexpr double kGuidanceUnit = 1000.0;  // the network sees the scale in the units of its time

std::string numbered(const char* name, int64_t i) {
  return name + std::to_string(i) + ".";
}

}  // namespace

FluxTransformer FluxTransformer::bind(const Config& c, Binder b) {
  FluxTransformer t;
  t.config_ = c;
  const auto width = c.width();
  t.time_ = Embedder::bind(b.sub("time_text_embed.timestep_embedder."), 256, width);
  if (c.guidance_embeds)
    t.guidance_ = Embedder::bind(b.sub("time_text_embed.guidance_embedder."), 256, width);
  t.text_ = Embedder::bind(b.sub("time_text_embed.text_embedder."), c.pooled_projection_dim, width);
  t.context_embedder_ =
      b.linear("context_embedder", c.joint_attention_dim, width, true, Init::xavier_uniform);
  t.x_embedder_ = b.linear("x_embedder", c.in_channels, width, true, Init::xavier_uniform);
  for (int64_t i = 0; i < c.num_layers; ++i)
    t.blocks_.push_back(
        JointBlock::bind({.heads = c.num_attention_heads, .head_dim = c.attention_head_dim, .qk_norm = true},
                         b.sub(numbered("transformer_blocks.", i))));
  for (int64_t i = 0; i < c.num_single_layers; ++i)
    t.single_blocks_.push_back(FluxSingleBlock::bind(c.num_attention_heads, c.attention_head_dim,
                                                     b.sub(numbered("single_transformer_blocks.", i))));
  t.norm_out_ = b.linear("norm_out.linear", width, 2 * width, true, Init::zeros);
  t.proj_out_ = b.linear("proj_out", width, c.in_channels, true, Init::zeros);
  return t;
}

at::Tensor FluxTransformer::silu_embedding(const at::Tensor& timestep_B, const at::Tensor& guidance_B,
                                           const at::Tensor& pooled_BD) const {
  const auto dtype = x_embedder_.weight.scalar_type();
  auto temb_BD = time_(timestep_wave(timestep_B).to(dtype));
  if (config_.guidance_embeds)
    temb_BD = temb_BD + guidance_(timestep_wave(guidance_B.to(at::kFloat) * kGuidanceUnit).to(dtype));
  return at::silu(temb_BD + text_(pooled_BD.to(dtype)));
}

Rotation FluxTransformer::rotation(int64_t text, int64_t rows, int64_t columns, at::Device device) const {
  // The text stands at the origin, and is not turned.
  return rotations_.get({text, rows, columns}, device, [&] {
    const auto positions_LA = at::cat({at::zeros({text, 3}, at::kLong), grid_positions(1, rows, columns)});
    return rotation_of(positions_LA, config_.axes_dims_rope, kTheta, device);
  });
}

at::Tensor FluxTransformer::operator()(const at::Tensor& x_BCHW, const at::Tensor& timestep_B,
                                       const at::Tensor& guidance_B, const at::Tensor& prompt_embeds_BLD,
                                       const at::Tensor& pooled_BD) const {
  const auto dtype = x_embedder_.weight.scalar_type();
  const auto silu_temb_BD = silu_embedding(timestep_B, guidance_B, pooled_BD);
  const int64_t rows = x_BCHW.size(2) / Config::kPatch, columns = x_BCHW.size(3) / Config::kPatch;
  const int64_t text = prompt_embeds_BLD.size(1), layers = config_.num_layers + config_.num_single_layers;
  const auto all = rotation(text, rows, columns, x_BCHW.device());
  const Rotation of_image{all.cos_LP.slice(0, text), all.sin_LP.slice(0, text)};
  TokenStreams s{x_embedder_(patches_of(x_BCHW, Config::kPatch).to(dtype)),
                 context_embedder_(prompt_embeds_BLD.to(dtype))};
  int64_t index = 0;
  for (const auto& block : blocks_) {
    s = block(s, silu_temb_BD, of_image, checkpointing_);
    tell_features(index++, layers, s.x_BLD);
  }
  auto tokens_BLD = at::cat({s.context_BLD, s.x_BLD}, 1);
  for (const auto& block : single_blocks_) {
    tokens_BLD = block(tokens_BLD, silu_temb_BD, all, checkpointing_);
    tell_features(index++, layers, tokens_BLD.slice(1, text));
  }
  const auto out = proj_out_(modulated_output(norm_out_, tokens_BLD.slice(1, text), silu_temb_BD));
  return picture_of_patches(out, rows, columns, Config::kPatch);
}

}  // namespace thalweg
