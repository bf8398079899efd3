// MixGRPO (Li et al. 2025, arXiv 2507.21802): noise and training in a window that moves from the first steps
// to the last (/sampler/window), the ODE elsewhere; advantages are sums over the rewards of each one's own
// group advantages. MixGRPO-Flash: /sampler/tail_ratio below 1.
#include "pipelines/methods/replay_method.h"

namespace thalweg {
namespace {

class MixGrpo final : public Cloneable<MixGrpo, WindowReplay> {
 public:
  MixGrpo() : Cloneable("mix_grpo", 1e-4) {
    o_.groups = {8, 12, 4};
    o_.advantages.norm = {.deviation = DeviationOver::group, .clip = 5.0, .ddof = 1, .eps = 1e-8};
    o_.advantages.aggregation = {aggregation_table(), "advantage_sum"};
  }
};

}  // namespace

std::unique_ptr<Method> make_mix_grpo() {
  return std::make_unique<MixGrpo>();
}

}  // namespace thalweg
