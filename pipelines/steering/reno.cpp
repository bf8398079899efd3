#include "samplers/reno.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/method.h"

namespace thalweg {
namespace {

class Reno final : public Cloneable<Reno, SamplingMethod> {
 public:
  void describe(Fields& f) override {
    f.integer({"iterations",
               "pictures drawn of each sample, with a step up the gradient between two; 1: that of its own "
               "noise alone"},
              options_.iterations, 1, 100000);
    f.number({"learning_rate", "of the noise, by SGD with Nesterov's momentum"}, options_.learning_rate, 1e-9,
             1e6);
    f.number({"momentum", "share of the last step's direction that goes on"}, options_.momentum, 0.0, 0.9999);
    f.number({"clip", "bound of the gradient's norm, of each sample; 0: none"}, options_.clip, 0.0, 1e6);
    f.number(
        {"regularization",
         "of (d-1) log|x| - |x|^2/2, the log-density of the norm of d standard normals, which is climbed "
         "beside the reward; 0: none"},
        options_.regularization, 0.0, 1e6);
    f.choice({"best",
              "what the picture that is handed back is the best by: the reward alone, or the objective that "
              "is climbed"},
             options_.best, best_noise_names());
  }
  void check(int64_t, const std::string&) const override {}
  SteeringNeeds needs() const override { return {.reward_gradient = true, .deterministic = true}; }
  Trajectory sample(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) const override {
    return sample_reno(in, kernel, reward, options_);
  }

 private:
  RenoOptions options_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_reno_steering() {
  return std::make_unique<Reno>();
}

}  // namespace thalweg
