#include "samplers/guidance/euphonium.h"

#include "engine/core/chosen.h"
#include "pipelines/sampler_section.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/method.h"

namespace thalweg {
namespace {

class Euphonium final : public Cloneable<Euphonium, SteeringMethod> {
 public:
  void describe(Fields& f) override {
    f.number({"guidance_scale", "c: each step's mean moves by c (sigma - sigma') times the gradient"},
             options_.guidance_scale, 0.0, 1e6);
    f.number({"beta", "c = eta^2/(2 beta) instead, eta being the sampler's own noise; 0: guidance_scale"},
             options_.beta, 0.0, 1e6);
    f.boolean({"normalize", "the gradient over its norm in the whole latent"}, options_.normalize);
    f.choice(
        {"gradient",
         "of the reward of the noisy latents (process_reward), of that of the clean estimate, through the "
         "network (clean_estimate), or, for rewards without gradients, at the clean estimate along random "
         "directions (spsa)"},
        gradient_, {"process_reward", "clean_estimate", "spsa"});
    describe_probes(f, probes_);
    f.object({"window", "steps that are guided"}, [&](Fields& w) {
      w.integer({"begin", "first step; -1: the last quarter's, as in the paper's recipe"}, begin_, -1, 999);
      w.integer({"size", "number of steps; 0: to the end"}, options_.window_size, 0, 1000);
    });
  }
  void check(int64_t steps, const std::string& pointer) const override {
    check_window(first_of(steps), options_.window_size, steps, pointer + "/window");
  }
  SteeringNeeds needs() const override {
    return {.reward_gradient = gradient_ != "spsa",
            .noisy_latents = gradient_ == "process_reward",
            .kernel = true,
            .noise = options_.beta > 0.0};
  }
  bool steers() const override { return options_.guidance_scale > 0.0 || options_.beta > 0.0; }
  Guidance guidance(const RewardValue& reward, const Schedule& schedule, uint64_t seed) const override {
    auto options = options_;
    options.window_begin = first_of(schedule.steps());
    return euphonium(gradient_of(reward, seed), options);
  }

 private:
  RewardGradient gradient_of(const RewardValue& reward, uint64_t seed) const {
    if (gradient_ == "spsa") return spsa_gradient(reward, probes_, seed);
    return gradient_ == "clean_estimate" ? clean_gradient(reward) : process_gradient(reward);
  }
  int64_t first_of(int64_t steps) const { return begin_ < 0 ? steps * 3 / 4 : begin_; }

  EuphoniumOptions options_;  // but for the window's begin
  int64_t begin_ = -1;
  std::string gradient_ = "process_reward";  // or "clean_estimate", "spsa"
  SpsaOptions probes_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_euphonium_steering() {
  return std::make_unique<Euphonium>();
}

}  // namespace thalweg
