#include "engine/models/joint_block.h"

#include <ATen/ATen.h>

#include "engine/models/checkpointed.h"
#include "engine/models/fused.h"
#include "engine/models/modulation.h"

namespace thalweg {

JointBlock::Attention JointBlock::bind_attention(const JointBlockConfig& c, Binder b, bool joint) {
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
    a.norm_q = b.rms_norm("norm_q", c.head_dim, kModulationEps);
    a.norm_k = b.rms_norm("norm_k", c.head_dim, kModulationEps);
  }
  if (!joint) return a;
  a.add_q = linear("add_q_proj");
  a.add_k = linear("add_k_proj");
  a.add_v = linear("add_v_proj");
  if (!c.last) a.to_add_out = linear("to_add_out");
  if (c.qk_norm) {
    a.norm_added_q = b.rms_norm("norm_added_q", c.head_dim, kModulationEps);
    a.norm_added_k = b.rms_norm("norm_added_k", c.head_dim, kModulationEps);
  }
  return a;
}

JointBlock JointBlock::bind(const JointBlockConfig& c, Binder b) {
  const auto width = c.width();
  // adaLN-zero: gates start closed, so a fresh block is the identity.
  const auto adaln = [&](const char* name, int64_t parts) {
    return b.linear(name, width, parts * width, true, Init::zeros);
  };
  JointBlock block;
  block.config_ = c;
  block.norm1_ = adaln("norm1.linear", c.dual ? 9 : 6);
  block.norm1_context_ = adaln("norm1_context.linear", c.last ? 2 : 6);
  block.attn_ = bind_attention(c, b.sub("attn."), true);
  if (c.dual) block.attn2_ = bind_attention(c, b.sub("attn2."), false);
  block.ff_ = FeedForward::bind(b.sub("ff."), width, 4 * width);
  if (!c.last) block.ff_context_ = FeedForward::bind(b.sub("ff_context."), width, 4 * width);
  block.tensors_ = b.all();
  return block;
}

std::pair<at::Tensor, at::Tensor> JointBlock::attend(const Attention& a, const at::Tensor& x_BLD,
                                                     const at::Tensor& c_BLD,
                                                     const Rotation& rotation) const {
  const TokenStream x{a.to_q(x_BLD), a.to_k(x_BLD), a.to_v(x_BLD), a.norm_q, a.norm_k, rotation};
  if (!c_BLD.defined()) return {a.to_out(joint_attention(x, {}, config_.heads).x_BLD), {}};
  const TokenStream c{a.add_q(c_BLD), a.add_k(c_BLD), a.add_v(c_BLD), a.norm_added_q, a.norm_added_k, {}};
  const auto y = joint_attention(x, c, config_.heads);
  return {a.to_out(y.x_BLD), a.to_add_out.weight.defined() ? a.to_add_out(y.context_BLD) : at::Tensor()};
}

TokenStreams JointBlock::run(TokenStreams in, const at::Tensor& modulation,
                             const at::Tensor& context_modulation, const Rotation& rotation) const {
  auto [x, c] = std::move(in);
  // Parts in order: shift, scale, gate of the attention, then of the MLP, then of the second attention.
  const auto m = modulation.chunk(attn2_ ? 9 : 6, -1);
  const auto n = context_modulation.chunk(config_.last ? 2 : 6, -1);
  // The last block's context norm is "continuous": scale comes before shift.
  const auto c_in = config_.last ? modulated(c, n[1], n[0]) : modulated(c, n[0], n[1]);
  const auto [x_attn, c_attn] = attend(attn_, modulated(x, m[0], m[1]), c_in, rotation);
  const auto x_before = x;
  x = gated_sum(x, m[2], x_attn);
  if (attn2_) x = gated_sum(x, m[8], attend(*attn2_, modulated(x_before, m[6], m[7]), {}, rotation).first);
  x = gated_sum(x, m[5], ff_(modulated(x, m[3], m[4])));
  if (config_.last) return {x, c};
  c = gated_sum(c, n[2], c_attn);
  c = gated_sum(c, n[5], ff_context_(modulated(c, n[3], n[4])));
  return {x, c};
}

TokenStreams JointBlock::operator()(const TokenStreams& in, const at::Tensor& silu_temb_BD,
                                    const Rotation& rotation, bool checkpoint) const {
  const auto m = modulation(norm1_, silu_temb_BD), n = modulation(norm1_context_, silu_temb_BD);
  if (!checkpoint) return run(in, m, n, rotation);
  // A copy of the block's handles: the backward pass may outlive the model.
  const auto again = [block = *this, rotation](const std::vector<at::Tensor>& t) {
    const auto out = block.run({t[0], t[1]}, t[2], t[3], rotation);
    return block.config_.last ? std::vector<at::Tensor>{out.x_BLD}
                              : std::vector<at::Tensor>{out.x_BLD, out.context_BLD};
  };
  const auto out = checkpointed(again, {in.x_BLD, in.context_BLD, m, n}, tensors_);
  return {out[0], config_.last ? in.context_BLD : out[1]};
}

}  // namespace thalweg
