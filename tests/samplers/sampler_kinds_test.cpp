// What must hold for every row of the table of samplers, and what its keys change.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/models/sd3/sd3_schedule.h"
#include "tests/io/scratch.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/entries.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

SamplerSection read_sampler(const Json& json) {
  SamplerSection section;
  read_fields(json, "/sampler", [&](Fields& f) { describe(f, section); });
  return section;
}

KernelStep step_of(const SamplerSection& section) {
  return kernel_of(section, {0, section.steps})(sd3_schedule(6, 3.0), 2);
}

TEST(SamplerKinds, StepByAKernelOrSolve) {
  const auto in = sampler_input(sd3_schedule(6, 3.0), at::kDouble);
  for (const auto& row : sampler_table()) {
    SCOPED_TRACE(row.name);
    const auto section = read_sampler({{"name", row.name}, {"steps", 6}});
    const auto x0 = draw_samples(in, section, {0, 6}).x0_BCFHW;
    EXPECT_EQ(x0.sizes(), in.x_BCFHW.sizes());
    EXPECT_TRUE(x0.isfinite().all().item<bool>());
    if (section.kind->kernel()) continue;
    EXPECT_FALSE(section.kind->log_prob());
    EXPECT_ERROR(kernel_of(section, {0, 6}), "/sampler/name");
  }
}

// x_0 standard normal: the velocity is c(s) x, and x_s has the variance (1-s)^2 + s^2. A fine step of a
// kernel that keeps the marginals ends at that of s', but for the square of the step.
TEST(SamplerKinds, KeepTheMarginalsIfTheySaySo) {
  const double s = 0.6, dt = 1e-3, next = s - dt;
  const auto variance = [](double t) { return (1.0 - t) * (1.0 - t) + t * t; };
  const double c = (2.0 * s - 1.0) / variance(s);
  for (const auto& row : sampler_table()) {
    const auto kind = row.make();
    if (!kind->kernel()) continue;
    const auto step = kind->kernel()({{1.0, s, next, 0.0}}, 1);
    const double factor = step.x_scale + step.v_scale * c;
    const double error = factor * factor * variance(s) + step.std * step.std - variance(next);
    EXPECT_EQ(std::abs(error) < 0.05 * dt, kind->keeps_marginals()) << row.name << ": " << error;
  }
}

TEST(SamplerKinds, TheFirstIsTheDefault) {
  EXPECT_EQ(SamplerSection().kind.name(), sampler_table().front().name);
}

TEST(SamplerKinds, KeysAreThoseOfTheKernel) {
  for (const auto& family : kernel_families()) {
    if (family.name == "cps_gaussian") continue;
    SCOPED_TRACE(family.name);
    const auto std = family.kernel(0.25)(sd3_schedule(6, 3.0), 2).std;
    auto section = read_sampler({{"name", family.name}, {"noise_level", 0.25}, {"steps", 6}});
    EXPECT_EQ(step_of(section).std, std);
    EXPECT_EQ(log_prob_of(section), family.log_prob);
    // A copy has its own options.
    const auto copy = section;
    section = read_sampler({{"name", family.name}, {"noise_level", 0.0}, {"steps", 6}});
    EXPECT_EQ(step_of(copy).std, std);
    EXPECT_EQ(step_of(section).std, 0.0);
    EXPECT_FALSE(draws_noise(section));
    EXPECT_ERROR(require_noise(section, "this"), "/sampler/noise_level");
    EXPECT_EQ(step_of(read_sampler({{"name", family.name}, {"steps", 6}})).std,
              family.kernel(family.noise)(sd3_schedule(6, 3.0), 2).std);
  }
  EXPECT_EQ(log_prob_of(read_sampler({{"name", "cps"}, {"log_prob", "gaussian"}})), LogProb(gaussian));
  EXPECT_ERROR(read_sampler({{"name", "flow_sde"}, {"log_prob", "gaussian"}}), "/sampler/log_prob: unknown");
  EXPECT_ERROR(read_sampler({{"name", "flow_ode"}, {"noise_level", 0.5}}), "/sampler/noise_level: unknown");
}

TEST(SamplerKinds, WhatDoesNotFitIsRefusedNamingWhatDoes) {
  EXPECT_EQ(sde_samplers(), (std::vector<std::string>{"flow_sde", "dance_sde", "memoryless"}));
  const auto refused = [](Json sampler, const char* method) {
    sampler["steps"] = 6;
    return error_of([&] { check_steering({read_entry({{"name", method}})}, read_sampler(sampler), {{}}); });
  };
  for (const auto* method : {"fk", "guided_smc", "doob"})
    for (const auto* sampler : {"heun", "flow_ode"}) {
      const auto error = refused({{"name", sampler}}, method);
      EXPECT_EQ(error.find("/sampler/name"), 0u) << error;
      for (const auto& name : sde_samplers()) EXPECT_NE(error.find(name), std::string::npos) << error;
    }
  EXPECT_NE(refused({{"name", "cps"}}, "guided_smc").find("keeps the marginals, which cps does not"),
            std::string::npos);
  EXPECT_EQ(refused({{"name", "cps"}}, "fk"), "");
  EXPECT_EQ(refused({{"name", "heun"}}, "dps"), "");
  EXPECT_EQ(refused({{"name", "flow_sde"}, {"noise_level", 0.0}}, "fk").find("/sampler/noise_level"), 0u);
}

}  // namespace
}  // namespace thalweg
