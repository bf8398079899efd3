#include "samplers/particles/fk.h"

#include "engine/core/chosen.h"
#include "engine/core/error.h"
#include "pipelines/sampler_section.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/method.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

class Fk final : public Cloneable<Fk, SamplingMethod> {
 public:
  void describe(Fields& f) override {
    describe_lambda(f, options_.lambda);
    f.choice(
        {"potential",
         "of the rewards of a lineage: their change (diff), the highest (max), their sum (add), the latest "
         "(rt), none before the end (is); the final weights are those of e^(lambda reward) with each"},
        options_.potential, potential_names());
    describe_value(f, options_.value);
    f.integer({"interval", "steps from one scoring to the next"}, options_.interval, 1, 1000);
    describe_window(f, "steps before which particles may be scored and resampled", options_.window_begin,
                    options_.window_size);
    describe_particles(f, "samples drawn together for one that is asked for; 1 is the sampler alone",
                       options_.particles);
  }
  void check(int64_t steps, const std::string& pointer) const override {
    check_window(options_.window_begin, options_.window_size, steps, pointer + "/window");
    const int64_t size = options_.window_size == 0 ? steps - options_.window_begin : options_.window_size;
    if (options_.potential != "is" && options_.interval > size)
      throw Error(pointer + "/interval",
                  "is longer than the " + std::to_string(size) +
                      " steps that may be scored: nothing would be scored but the first of them; lower it");
  }
  SteeringNeeds needs() const override {
    return {.noisy_latents = options_.value == "noisy_latents",
            .kernel = true,
            .noise = true,
            .noise_in = StepWindow::of(options_.window_begin, 0)};
  }
  Trajectory sample(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) const override {
    return selected(sample_fk(in, kernel, reward, options_), in,
                    selection_named(options_.particles.selection));
  }
  int64_t particles() const override { return options_.particles.particles; }

 private:
  FkOptions options_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_fk_steering() {
  return std::make_unique<Fk>();
}

}  // namespace thalweg
