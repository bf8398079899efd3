// Flow-GRPO (Liu et al. 2025, arXiv 2505.05470): rollout with the SDE -> score -> group advantages -> clipped
// policy loss on the stored transitions, each replayed with its stored next latent -> optimizer.
#include "pipelines/methods/replay_method.h"

namespace thalweg {
namespace {

class FlowGrpo final : public Cloneable<FlowGrpo, ClippedReplay> {
 public:
  FlowGrpo() : Cloneable("flow_grpo", 1e-4) {}
};

}  // namespace

std::unique_ptr<Method> make_flow_grpo() {
  return std::make_unique<FlowGrpo>();
}

}  // namespace thalweg
