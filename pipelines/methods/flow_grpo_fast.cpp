// Flow-GRPO-Fast (Liu et al. 2025, arXiv 2505.05470): Flow-GRPO on a window of 2 or 3 steps drawn anew each
// iteration; the others are the ODE's, and cost neither a replay nor memory. As in the authors' settings, the
// clip is tighter than Flow-GRPO's and nothing holds the policy to a reference.
#include "pipelines/methods/replay_method.h"

namespace thalweg {
namespace {

class FlowGrpoFast final : public Cloneable<FlowGrpoFast, WindowReplay> {
 public:
  FlowGrpoFast() : Cloneable("flow_grpo_fast", 1e-5) {}
};

}  // namespace

std::unique_ptr<Method> make_flow_grpo_fast() {
  return std::make_unique<FlowGrpoFast>();
}

}  // namespace thalweg
