#include "samplers/particles/svdd.h"

#include "engine/core/chosen.h"
#include "pipelines/sampler_section.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/method.h"

namespace thalweg {
namespace {

class Svdd final : public Cloneable<Svdd, SamplingMethod> {
 public:
  void describe(Fields& f) override {
    f.integer({"candidates", "successors drawn in each step, of which one goes on; 1 is the sampler alone"},
              options_.candidates, 1, 1024);
    f.number(
        {"temperature",
         "candidates are chosen by the softmax of value / temperature, so 1 / lambda; 0: the highest value"},
        options_.temperature, 0.0, 1e6);
    describe_value(f, options_.value);
    describe_window(f, "steps that choose", options_.window_begin, options_.window_size);
  }
  void check(int64_t steps, const std::string& pointer) const override {
    check_window(options_.window_begin, options_.window_size, steps, pointer + "/window");
  }
  SteeringNeeds needs() const override {
    return {.noisy_latents = options_.value == "noisy_latents",
            .kernel = true,
            .noise = true,
            .noise_in = StepWindow::of(options_.window_begin, options_.window_size)};
  }
  Trajectory sample(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) const override {
    return sample_svdd(in, kernel, reward, options_);
  }

 private:
  SvddOptions options_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_svdd_steering() {
  return std::make_unique<Svdd>();
}

}  // namespace thalweg
