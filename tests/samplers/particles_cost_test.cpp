// What particle methods and SVDD ask of the network and of the reward.
#include <gtest/gtest.h>

#include "samplers/particles/svdd.h"
#include "tests/samplers/particle_laws.h"

namespace thalweg {
namespace {

using namespace particle_laws;

struct Calls {
  int64_t velocity = 0, reward = 0;
};

Calls calls_of(const Method& method, SamplerInput in) {
  Calls calls;
  const auto inner = in.velocity;
  in.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), static_cast<int64_t>(step.slot_B.size()));
    EXPECT_EQ(x.size(0), c.batch());
    calls.velocity += x.size(0);
    return inner(x, step, c);
  };
  method(in, flow_sde(0.7), [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), static_cast<int64_t>(step.slot_B.size()));
    EXPECT_EQ(x.size(0), step.sigma_B.size(0));
    EXPECT_EQ(x.size(0), c.batch());
    calls.reward += x.size(0);
    return wavy(x, step, c);
  });
  return calls;
}

TEST(ParticleLaws, NothingIsAskedTwice) {
  const auto in = groups_of(4, {0, 1});  // 8 samples
  const auto expect = [&](const Method& method, int64_t velocity, int64_t reward, const char* name) {
    const auto calls = calls_of(method, in);
    EXPECT_EQ(calls.velocity, 8 * velocity) << name;
    EXPECT_EQ(calls.reward, 8 * reward) << name;
  };
  const auto fk = [](FkOptions o) -> Method {
    return [o](const auto& i, const auto& k, const auto& r) { return sample_fk(i, k, r, o); };
  };
  expect(fk({particles(4), 1.0, "diff", "clean_estimate", 2, 1, 6}), kSteps, 3 + 1, "fk");
  expect(fk({particles(4), 1.0, "is", "clean_estimate", 1}), kSteps, 1, "fk is");
  expect(fk({particles(1), 1.0, "diff", "clean_estimate", 1}), kSteps, 1, "fk of one");
  expect([](const auto& i, const auto& k, const auto& r) { return sample_das(i, k, r, {particles(4)}); },
         kSteps, kSteps + 1, "das");
  expect(
      [](const auto& i, const auto& k, const auto& r) { return sample_guided_smc(i, k, r, {particles(4)}); },
      2 * kSteps - 1, 2 * kSteps + 1, "guided_smc");
  expect(
      [](const auto& i, const auto& k, const auto& r) {
        return sample_guided_smc(i, k, r, {particles(4), 1.0, "noisy_latents", 3});
      },
      kSteps, 2 * (kSteps - 3) + 1, "guided_smc of noisy latents");
  expect([](const auto& i, const auto& k, const auto& r) { return sample_best_of_n(i, k, r, {4}); }, kSteps,
         1, "best_of_n");
  // The gradient only where the step draws noise.
  int64_t gradients = 0, velocities = 0;
  auto counted_in = in;
  counted_in.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    ++velocities;
    return in.velocity(x, step, c);
  };
  const RewardValue counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    gradients += x.requires_grad();
    return wavy(x, step, c);
  };
  const Kernel late = [](const Schedule& schedule, int64_t i) {
    return i < 3 ? euler(schedule, i) : flow_sde(0.7)(schedule, i);
  };
  sample_das(counted_in, late, counted, {particles(4)});
  EXPECT_EQ(velocities, kSteps);
  EXPECT_EQ(gradients, kSteps - 3);
  sample_guided_smc(counted_in, late, counted, {particles(4)});
  EXPECT_EQ(velocities, kSteps + (2 * kSteps - 1) - 3);
  EXPECT_EQ(gradients, 2 * (kSteps - 3));
  const auto svdd = [](const std::string& value, int64_t begin) -> Method {
    return [=](const auto& i, const auto& k, const auto& r) {
      return sample_svdd(i, k, r, {5, 0.1, value, begin, 0, 2});
    };
  };
  expect(svdd("clean_estimate", 0), 1 + 5 * (kSteps - 1), 5 * kSteps, "svdd");
  expect(svdd("clean_estimate", 6), 7 + 5, 5 * 2, "svdd in a window");
  expect(svdd("noisy_latents", 0), kSteps, 5 * kSteps, "svdd of noisy latents");
}

}  // namespace
}  // namespace thalweg
