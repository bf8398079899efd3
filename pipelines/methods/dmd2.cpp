// DMD2, distribution matching distillation (Yin et al. 2024, arXiv 2405.14867): a generator of K steps whose
// pictures are distributed as the guided teacher's. Prompts alone are data. The loop is dmd.h.
#include "pipelines/methods/dmd.h"
#include "pipelines/methods/method.h"

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

class Dmd2 final : public MethodOf<Dmd2, Dmd2Run, DmdOptions> {
 public:
  bool few_step() const override { return true; }
  double guidance_scale() const override { return o_.guidance_scale; }
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    thalweg::describe(f, o_);
  }
  void check(const TrainingOptions& options) const override { thalweg::check(o_, options); }
  int64_t waits() const override { return thalweg::waits(o_); }
  std::string teacher() const override { return o_.teacher; }
  PictureSource pictures() const override { return pictures_of(o_.discriminator); }
};

}  // namespace

std::unique_ptr<Method> make_dmd2() {
  return std::make_unique<Dmd2>();
}

}  // namespace thalweg
