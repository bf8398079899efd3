#include "samplers/particles/guided_smc.h"

#include "engine/core/chosen.h"
#include "pipelines/sampler_section.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/method.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

class GuidedSmc final : public Cloneable<GuidedSmc, SamplingMethod> {
 public:
  void describe(Fields& f) override {
    describe_lambda(f, options_.lambda);
    describe_value(f, options_.value);
    f.integer({"begin", "first step that is guided and weighed; the sampler goes alone until then"},
              options_.begin, 0, 999);
    describe_particles(
        f, "samples drawn together for one that is asked for; 1 is the sampler guided by the gradient",
        options_.particles);
  }
  void check(int64_t steps, const std::string& pointer) const override {
    check_window(options_.begin, 0, steps, pointer);
  }
  SteeringNeeds needs() const override {
    return {.reward_gradient = true,
            .noisy_latents = options_.value == "noisy_latents",
            .kernel = true,
            .noise = true,
            .marginals = true,
            .noise_in = StepWindow::of(options_.begin, 0)};
  }
  Trajectory sample(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) const override {
    return selected(sample_guided_smc(in, kernel, reward, options_), in,
                    selection_named(options_.particles.selection));
  }
  int64_t particles() const override { return options_.particles.particles; }

 private:
  GuidedSmcOptions options_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_guided_smc_steering() {
  return std::make_unique<GuidedSmc>();
}

}  // namespace thalweg
