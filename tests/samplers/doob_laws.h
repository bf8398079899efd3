// Doob samplers at small settings, and counts of what they ask for.
#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/doob/doob.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg::doob_laws {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

inline at::Tensor wave(const at::Tensor& x, const Step&, const Conditioning&) {
  return at::sin(x * 1.3).flatten(1).mean(1).to(at::kCPU, at::kDouble);
}

struct Count {
  int64_t network = 0, reward = 0;  // rows
};

inline Velocity counting(Count& count) {
  return [&count](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), step.sigma_B.size(0));
    EXPECT_EQ(x.size(0), static_cast<int64_t>(step.slot_B.size()));
    EXPECT_EQ(x.size(0), c.batch());
    count.network += x.size(0);
    return analytic_velocity(x, step, c);
  };
}

inline RewardValue counting_reward(Count& count) {
  return [&count](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), c.batch());
    count.reward += x.size(0);
    return wave(x, step, c);
  };
}

inline DoobOptions with_form(const std::string& lookahead, const std::string& form, int64_t candidates = 4) {
  DoobOptions o;
  o.candidates = candidates;
  o.lookahead = lookahead;
  o.form = form;
  return o;
}

inline const Schedule& schedule() {
  static const Schedule s = sd3_schedule(6, 3.0);
  return s;
}

inline std::vector<DoobOptions> every_combination() {
  std::vector<DoobOptions> all;
  for (const auto& lookahead : doob_lookaheads())
    for (const auto& form : doob_forms()) all.push_back(with_form(lookahead, form));
  return all;
}

inline at::Tensor sampled(const DoobOptions& o, const Kernel& kernel = flow_sde(0.7),
                          const std::vector<int64_t>& slots = {0, 1, 2, 3},
                          const RewardValue& reward = wave) {
  return sample_doob(sampler_input(schedule(), at::kFloat, slots), kernel, reward, o).x0_BCFHW;
}

inline at::Tensor base(const Kernel& kernel = flow_sde(0.7)) {
  return sample_transitions(sampler_input(schedule(), at::kFloat), kernel).x0_BCFHW;
}

}  // namespace thalweg::doob_laws
