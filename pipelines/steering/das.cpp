#include "samplers/particles/das.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/method.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

class Das final : public Cloneable<Das, SamplingMethod> {
 public:
  void describe(Fields& f) override {
    describe_lambda(f, options_.lambda);
    describe_value(f, options_.value);
    f.number(
        {"tempering",
         "gamma of the scale min((1 + gamma)^step - 1, 1) of gradients and weights; 0: that which reaches 1 "
         "after 7/8 of the steps"},
        options_.tempering, 0.0, 100.0);
    describe_particles(
        f, "samples drawn together for one that is asked for; 1 is the sampler guided by the gradient",
        options_.particles);
  }
  void check(int64_t, const std::string&) const override {}
  SteeringNeeds needs() const override {
    return {.reward_gradient = true,
            .noisy_latents = options_.value == "noisy_latents",
            .kernel = true,
            .noise = true};
  }
  Trajectory sample(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) const override {
    return selected(sample_das(in, kernel, reward, options_), in,
                    selection_named(options_.particles.selection));
  }
  int64_t particles() const override { return options_.particles.particles; }

 private:
  DasOptions options_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_das_steering() {
  return std::make_unique<Das>();
}

}  // namespace thalweg
