// DanceGRPO (Xue et al. 2025, arXiv 2505.07818): the clipped loss on a random part of the steps, advantages
// by the group's own unbiased deviation, no KL term. Scored is the clean estimate of the last state, whose
// noise would teach nothing. The steps are drawn for each iteration, not for each sample as in the authors'
// code, so that the samples of a micro-batch share a step; over iterations each step is trained as often.
#include "pipelines/methods/replay_method.h"

namespace thalweg {
namespace {

class DanceGrpo final : public Cloneable<DanceGrpo, ClippedReplay> {
 public:
  DanceGrpo() : Cloneable("dance_grpo", 1e-4) {
    o_.groups = {8, 12, 4};
    o_.advantages.norm = {.deviation = DeviationOver::group, .clip = 5.0, .ddof = 1, .eps = 1e-8};
    o_.step_fraction = 0.6;
    o_.clean_end = true;
  }

  void describe(Fields& f) override {
    ClippedReplay::describe(f);
    describe_step_fraction(f);
  }
};

}  // namespace

std::unique_ptr<Method> make_dance_grpo() {
  return std::make_unique<DanceGrpo>();
}

}  // namespace thalweg
