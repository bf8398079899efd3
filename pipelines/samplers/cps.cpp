#include "samplers/kernels/cps.h"

#include <string>

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class CpsSampler final : public Cloneable<CpsSampler, NoisySampler> {
 public:
  CpsSampler() : Cloneable(0.8) {}

  void describe(Fields& f, const Fields::Describe& noise_steps) override {
    describe_noise(f, "eta: noise drawn at s' is s' sin(eta pi/2)", 1.0, noise_steps);
    f.choice({"log_prob",
              "-(next - mean)^2 (squared_error, Flow-CPS) or the Gaussian's density, which counts steps with "
              "little noise more"},
             log_prob_, {"squared_error", "gaussian"});
  }
  Kernel kernel() const override { return cps(noise_level_); }
  LogProb log_prob() const override { return log_prob_ == "gaussian" ? gaussian : squared_error; }
  bool keeps_marginals() const override { return false; }

 private:
  std::string log_prob_ = "squared_error";
};

}  // namespace

std::unique_ptr<SamplerKind> make_cps_sampler() {
  return std::make_unique<CpsSampler>();
}

}  // namespace thalweg
