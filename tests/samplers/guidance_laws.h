// Every guidance at one state of a small nonlinear velocity.
#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/flow_algebra.h"
#include "samplers/guidance/dps.h"
#include "samplers/guidance/euphonium.h"
#include "samplers/guidance/flow_nrg.h"
#include "samplers/guidance/mpgd.h"
#include "samplers/guidance/spsa.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg::guidance_laws {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Depends on the noise level as well, so that a clean reward and a process reward are told apart.
inline at::Tensor wave(const at::Tensor& x, const Step& step, const Conditioning&) {
  const auto t = step.sigma_B.view({-1, 1, 1, 1, 1});
  return at::sin(x * (1.3 + t)).flatten(1).sum(1).to(at::kCPU, at::kDouble);
}

struct Named {
  const char* name;
  Guidance guidance;
};

// Every guidance at strength `lambda`.
inline std::vector<Named> all_guidances(const RewardValue& reward, double lambda, int64_t begin = 0,
                                        int64_t size = 0) {
  const TiltOptions tilt{lambda, begin, size};
  EuphoniumOptions push;
  push.guidance_scale = lambda;
  push.window_begin = begin;
  push.window_size = size;
  return {{"flow_nrg", flow_nrg(reward, tilt)},
          {"dps", dps(reward, tilt)},
          {"mpgd", mpgd(reward, tilt)},
          {"spsa", spsa(reward, tilt, {}, 5)},
          {"euphonium", euphonium(process_gradient(reward), push)},
          {"euphonium by spsa", euphonium(spsa_gradient(reward, {}, 5), push)}};
}

class Guidances : public ::testing::Test {
 protected:
  at::Tensor at_x(const Guidance& guidance) const {
    return guidance(analytic_velocity)(in_.x_BCFHW, step_, in_.conditioning);
  }

  const SamplerInput in_ = sampler_input(sd3_schedule(10, 3.0), at::kDouble);
  const Step step_ = step_of(flow_sde(0.7), in_.schedule, 4, in_.slot_B);
  const double t_ = in_.schedule.sigmas[4];
  const at::Tensor v_ = analytic_velocity(in_.x_BCFHW, step_, in_.conditioning);
};

}  // namespace thalweg::guidance_laws
