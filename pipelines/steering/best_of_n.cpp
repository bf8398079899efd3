#include "samplers/particles/best_of_n.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/method.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

class BestOfN final : public Cloneable<BestOfN, SamplingMethod> {
 public:
  void describe(Fields& f) override {
    f.integer({"particles", "samples drawn for one that is asked for; 1 is the sampler alone"},
              options_.particles, 1, 1024);
    f.choice({"returned", "which of them are handed back"}, options_.selection, {"best", "all"});
  }
  void check(int64_t, const std::string&) const override {}
  SteeringNeeds needs() const override { return {.kernel = true}; }
  Trajectory sample(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) const override {
    return selected(sample_best_of_n(in, kernel, reward, options_), in, selection_named(options_.selection));
  }
  int64_t particles() const override { return options_.particles; }

 private:
  BestOfNOptions options_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_best_of_n_steering() {
  return std::make_unique<BestOfN>();
}

}  // namespace thalweg
