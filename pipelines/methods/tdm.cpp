// TDM, Trajectory Distribution Matching (Luo et al. 2025, arXiv 2503.06674), for flow models: a generator of
// K deterministic steps, every state of whose trajectory is a training sample. The state that a step ends at
// is noised again, and the step's clean estimate x_0m is drawn to x_0m + mu_real - mu_fake: what the guided
// teacher makes of the noised state, minus what a critic does that learns the generator's own distribution.
// Prompts alone are data.
#include "pipelines/methods/distillation.h"

namespace thalweg {
namespace {

struct Options : DistillationOptions {
  double huber = 0.0;
};

class TdmRun final : public MethodRun {
 public:
  TdmRun(const Options& options, Training& training)
      : o_(options), t_(training), distillation_(options, training) {
    check_tau(o_.tau, training.schedule);
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    if (distillation_.start(iteration, metrics)) return metrics;
    auto walks = distillation_.draw(iteration, metrics);
    const auto loss = [this](const WalkedStep& w, int64_t draw) {
      return distillation_.matching(distillation_.clean(w), renoised(t_, w, o_.tau, draw), o_.huber);
    };
    distillation_.learn(walks, {}, loss, iteration, metrics);
    return metrics;
  }

  double stored_latents() const override { return Walks::stored_latents(t_.schedule); }

 private:
  const Options o_;
  Training& t_;
  Distillation distillation_;
};

class Tdm final : public DistillationOf<Tdm, TdmRun, Options> {
 public:
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    thalweg::describe(f, o_);
    f.number({"huber", "errors above it count linearly; 0: squares"}, o_.huber, 0.0, 1.0);
    f.object({"tau", "levels at which the two distributions are compared"},
             [this](Fields& t) { thalweg::describe(t, o_.tau); });
    f.object({"critic", "the role that learns the generator's distribution"},
             [this](Fields& c) { thalweg::describe(c, o_.critic); });
  }

  void check(const TrainingOptions& options) const override { thalweg::check(o_, options); }
};

}  // namespace

std::unique_ptr<Method> make_tdm() {
  return std::make_unique<Tdm>();
}

}  // namespace thalweg
