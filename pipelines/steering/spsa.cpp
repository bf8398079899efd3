#include "samplers/guidance/spsa.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/tilt.h"

namespace thalweg {
namespace {

class Spsa final : public Cloneable<Spsa, TiltMethod> {
 public:
  void describe(Fields& f) override {
    TiltMethod::describe(f);
    describe_probes(f, probes_);
  }
  SteeringNeeds needs() const override { return {}; }
  Guidance guidance(const RewardValue& reward, const Schedule& schedule, uint64_t seed) const override {
    return spsa(reward, tilt_in(schedule), probes_, seed);
  }

 private:
  SpsaOptions probes_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_spsa_steering() {
  return std::make_unique<Spsa>();
}

}  // namespace thalweg
