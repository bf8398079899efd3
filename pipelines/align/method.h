// A method: one iteration of rollout and updates, and what it must remember between iterations.
#pragma once

#include "pipelines/align/context.h"

namespace thalweg {

class Method {
 public:
  virtual ~Method() = default;
  /// One rollout and its updates. Throws Error when the job cannot go on.
  virtual Metrics iterate(AlignContext& context, int64_t iteration) = 0;
  /// Tensors beside the policy that a resumed run needs (an old policy).
  virtual TensorMap state() const { return {}; }
  virtual void load_state(const TensorMap&) {}
};

std::unique_ptr<Method> make_flow_grpo(const FlowGrpoOptions& options);
std::unique_ptr<Method> make_diffusion_nft(const DiffusionNftOptions& options, const AlignContext& context);

}  // namespace thalweg
