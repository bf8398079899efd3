#include "pipelines/steering/keys.h"
#include "pipelines/steering/methods.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

void describe(Fields& f, DasOptions& o) {
  describe_lambda(f, o.lambda);
  describe_value(f, o.value);
  f.number(
      {"tempering",
       "gamma of the scale min((1 + gamma)^step - 1, 1) of gradients and weights; 0: that which reaches 1 "
       "after 7/8 of the steps"},
      o.tempering, 0.0, 100.0);
  describe_particles(f, o.particles);
}

}  // namespace

SteeringRow das_row(const char* name, const char* doc) {
  return {
      name,
      doc,
      [](Fields& f, SteeringEntry& e) { describe(f, e.das); },
      [](const SteeringEntry&, int64_t) {},
      [](const SteeringEntry& e) {
        return SteeringNeeds{.reward_gradient = true,
                             .noisy_latents = e.das.value == "noisy_latents",
                             .kernel = true,
                             .noise = true};
      },
      nullptr,
      [](const SteeringEntry& e, const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) {
        return selected(sample_das(in, kernel, reward, e.das), in,
                        selection_named(e.das.particles.selection));
      },
      [](const SteeringEntry& e) { return e.das.particles.particles; }};
}

}  // namespace thalweg
