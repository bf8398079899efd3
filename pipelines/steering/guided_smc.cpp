#include "pipelines/steering/keys.h"
#include "pipelines/steering/methods.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

void describe(Fields& f, GuidedSmcOptions& o) {
  describe_lambda(f, o.lambda);
  describe_value(f, o.value);
  f.integer({"begin", "first step that is guided and weighed; the sampler goes alone until then"}, o.begin, 0,
            999);
  describe_particles(f, o.particles);
}

}  // namespace

SteeringRow guided_smc_row(const char* name, const char* doc) {
  return {
      name,
      doc,
      [](Fields& f, SteeringEntry& e) { describe(f, e.guided_smc); },
      [](const SteeringEntry& e, int64_t steps) { check_window(e.guided_smc.begin, 0, steps, e.pointer); },
      [](const SteeringEntry& e) {
        return SteeringNeeds{.reward_gradient = true,
                             .noisy_latents = e.guided_smc.value == "noisy_latents",
                             .kernel = true,
                             .noise = true,
                             .marginals = true};
      },
      nullptr,
      [](const SteeringEntry& e, const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) {
        return selected(sample_guided_smc(in, kernel, reward, e.guided_smc), in,
                        selection_named(e.guided_smc.particles.selection));
      },
      [](const SteeringEntry& e) { return e.guided_smc.particles.particles; }};
}

}  // namespace thalweg
