// The second half of FLUX.1's blocks: text and image are one stream, attention and perceptron run beside each
// other (after Dehghani et al. 2023, arXiv 2302.05442) and share their last layer.
#pragma once

#include <vector>

#include "engine/models/binder.h"
#include "engine/models/rotation.h"

namespace thalweg {

class FluxSingleBlock {
 public:
  static FluxSingleBlock bind(int64_t heads, int64_t head_dim, Binder binder);

  /// tokens [B,L,D], `rotation` of all of them. Checkpointed as JointBlock's.
  at::Tensor operator()(const at::Tensor& tokens_BLD, const at::Tensor& silu_temb_BD,
                        const Rotation& rotation, bool checkpoint) const;

 private:
  at::Tensor run(const at::Tensor& x_BLD, const at::Tensor& modulation_B1D, const Rotation& rotation) const;

  int64_t heads_ = 1;
  Linear norm_, to_q_, to_k_, to_v_, proj_mlp_, proj_out_;
  Norm norm_q_, norm_k_;
  std::vector<at::Tensor> tensors_;  // all of them
};

}  // namespace thalweg
