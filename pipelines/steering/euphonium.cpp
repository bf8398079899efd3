#include "samplers/guidance/euphonium.h"

#include "pipelines/steering/keys.h"
#include "pipelines/steering/methods.h"

namespace thalweg {
namespace {

bool by_probes(const SteeringEntry& e) {
  return e.euphonium_gradient == "spsa";
}

void describe_keys(Fields& f, SteeringEntry& e) {
  auto& o = e.euphonium;
  f.number({"guidance_scale", "c: each step's mean moves by c (sigma - sigma') times the gradient"},
           o.guidance_scale, 0.0, 1e6);
  f.number({"beta", "c = eta^2/(2 beta) instead, eta being the sampler's own noise; 0: guidance_scale"},
           o.beta, 0.0, 1e6);
  f.boolean({"normalize", "the gradient over its norm in the whole latent"}, o.normalize);
  f.choice({"gradient",
            "of the reward of the noisy latents (process_reward), or, for rewards without gradients, at the "
            "clean estimate along random directions (spsa)"},
           e.euphonium_gradient, {"process_reward", "spsa"});
  describe_probes(f, e.spsa);
  describe_window(f, "steps that are guided; the paper's: the last quarter", o.window_begin, o.window_size);
}

}  // namespace

SteeringRow euphonium_row(const char* name, const char* doc) {
  return {name,
          doc,
          [](Fields& f, SteeringEntry& e) { describe_keys(f, e); },
          [](const SteeringEntry& e, int64_t steps) {
            check_window(e.euphonium.window_begin, e.euphonium.window_size, steps, e.pointer + "/window");
          },
          [](const SteeringEntry& e) {
            return SteeringNeeds{.reward_gradient = !by_probes(e),
                                 .noisy_latents = !by_probes(e),
                                 .kernel = true,
                                 .noise = e.euphonium.beta > 0.0};
          },
          [](const SteeringEntry& e, const RewardValue& reward, uint64_t seed) {
            return euphonium(by_probes(e) ? spsa_gradient(reward, e.spsa, seed) : process_gradient(reward),
                             e.euphonium);
          },
          nullptr,
          nullptr};
}

}  // namespace thalweg
