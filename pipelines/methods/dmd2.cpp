// DMD2, distribution matching distillation (Yin et al. 2024, arXiv 2405.14867): a generator of K steps whose
// pictures are distributed as the guided teacher's. Prompts alone are data. The loop is dmd.h.
#include "pipelines/methods/dmd.h"

namespace thalweg {
namespace {

class Dmd2Run final : public MethodRun {
 public:
  Dmd2Run(const DmdOptions& options, Training& training) : t_(training), dmd_(options, training) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    if (dmd_.distillation().start(iteration, metrics)) return metrics;
    auto walks = dmd_.distillation().draw(iteration, metrics);
    dmd_.learn(walks, {}, iteration, metrics);
    return metrics;
  }

  double stored_latents() const override { return Walks::stored_latents(t_.schedule); }

 private:
  Training& t_;
  Dmd dmd_;
};

class Dmd2 final : public DmdOf<Dmd2, Dmd2Run, DmdOptions> {
 public:
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    thalweg::describe(f, o_);
  }
};

}  // namespace

std::unique_ptr<Method> make_dmd2() {
  return std::make_unique<Dmd2>();
}

}  // namespace thalweg
