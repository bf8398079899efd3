// Guidance whose keys are those of every tilt of the law.
#pragma once

#include "pipelines/steering/method.h"
#include "samplers/guidance/tilt.h"

namespace thalweg {

class TiltMethod : public SteeringMethod {
 public:
  void describe(Fields& fields) override;
  void check(int64_t steps, const std::string& pointer) const override;
  bool steers() const override { return tilt_.lambda > 0.0; }

 protected:
  TiltOptions tilt_in(const Schedule& schedule) const { return below_level(tilt_, schedule, max_sigma_); }

 private:
  TiltOptions tilt_;
  double max_sigma_ = 1.0;
};

}  // namespace thalweg
