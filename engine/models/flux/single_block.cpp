#include "engine/models/flux/single_block.h"

#include <ATen/ATen.h>

#include "engine/models/checkpointed.h"
#include "engine/models/modulation.h"

namespace thalweg {

FluxSingleBlock FluxSingleBlock::bind(int64_t heads, int64_t head_dim, Binder b) {
  const auto width = heads * head_dim;
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return b.linear(name, in, out, true, Init::xavier_uniform);
  };
  FluxSingleBlock block;
  block.heads_ = heads;
  block.norm_ = b.linear("norm.linear", width, 3 * width, true, Init::zeros);
  block.to_q_ = linear("attn.to_q", width, width);
  block.to_k_ = linear("attn.to_k", width, width);
  block.to_v_ = linear("attn.to_v", width, width);
  block.norm_q_ = b.rms_norm("attn.norm_q", head_dim, kModulationEps);
  block.norm_k_ = b.rms_norm("attn.norm_k", head_dim, kModulationEps);
  block.proj_mlp_ = linear("proj_mlp", width, 4 * width);
  block.proj_out_ = linear("proj_out", 5 * width, width);
  block.tensors_ = b.all();
  return block;
}

at::Tensor FluxSingleBlock::run(const at::Tensor& x_BLD, const at::Tensor& modulation_B1D,
                                const Rotation& rotation) const {
  const auto m = modulation_B1D.chunk(3, -1);  // shift, scale, gate
  const auto y = modulated(x_BLD, m[0], m[1]);
  const auto attended =
      joint_attention({to_q_(y), to_k_(y), to_v_(y), norm_q_, norm_k_, rotation}, {}, heads_).x_BLD;
  return gated_sum(x_BLD, m[2], proj_out_(at::cat({attended, gelu_tanh(proj_mlp_(y))}, -1)));
}

at::Tensor FluxSingleBlock::operator()(const at::Tensor& tokens_BLD, const at::Tensor& silu_temb_BD,
                                       const Rotation& rotation, bool checkpoint) const {
  const auto m = modulation(norm_, silu_temb_BD);
  if (!checkpoint) return run(tokens_BLD, m, rotation);
  const auto again = [block = *this, rotation](const std::vector<at::Tensor>& t) {
    return std::vector<at::Tensor>{block.run(t[0], t[1], rotation)};
  };
  return checkpointed(again, {tokens_BLD, m}, tensors_)[0];
}

}  // namespace thalweg
