// What must hold for every row of the table of steering methods, whatever it is.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "engine/core/rng.h"
#include "pipelines/steering/cost.h"
#include "tests/samplers/entries.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

constexpr int64_t kSteps = 12;
const std::vector<int64_t> kShape = {1, 2, 2, 2};

// A small version of each method, and keys under which it is its base sampler.
struct Case {
  Json entry, neutral;
  std::string sampler = "flow_sde";
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{{"name", "best_of_n"}, {"particles", 3}}, {{"particles", 1}}},
      {{{"name", "fk"}, {"particles", 4}, {"lambda", 2.0}, {"interval", 3}}, {{"particles", 1}}},
      {{{"name", "svdd"}, {"candidates", 4}, {"temperature", 0.5}}, {{"candidates", 1}}},
      {{{"name", "das"}, {"particles", 4}, {"lambda", 1.0}}, {{"particles", 1}, {"lambda", 0.0}}},
      {{{"name", "guided_smc"}, {"particles", 4}, {"lambda", 1.0}}, {{"particles", 1}, {"lambda", 0.0}}},
      {{{"name", "flow_nrg"}, {"lambda", 1.0}}, {{"lambda", 0.0}}},
      {{{"name", "dps"}, {"lambda", 1.0}}, {{"lambda", 0.0}}},
      {{{"name", "mpgd"}, {"lambda", 1.0}}, {{"lambda", 0.0}}},
      {{{"name", "spsa"}, {"lambda", 1.0}, {"probes", 2}}, {{"lambda", 0.0}}},
      {{{"name", "euphonium"}, {"guidance_scale", 0.5}}, {{"guidance_scale", 0.0}}},
      {{{"name", "doob"}, {"candidates", 4}}, {{"candidates", 1}}},
      {{{"name", "doob"}, {"candidates", 4}, {"form", "drift"}, {"lookahead", "shared"}}, {{"gamma", 0.0}}},
      {{{"name", "doob"}, {"candidates", 4}, {"form", "vjp"}, {"lookahead", "rollout"}}, {{"gamma", 0.0}}},
      {{{"name", "reno"}, {"iterations", 4}}, {{"iterations", 1}}, "flow_ode"},
  };
  return all;
}

SamplerSection sampler_section(const std::string& name) {
  SamplerSection section;
  section.kind = {sampler_table(), name};
  section.steps = kSteps;
  return section;
}

struct Run {
  at::Tensor x0;
  ParticleRecord record;
  int64_t rewards = 0;
};

// Groups `order` of the input, in that order.
Run run(const Case& of, const std::vector<int64_t>& order, int64_t rows_at_once = 1 << 20) {
  const c10::NoGradGuard no_grad;
  const auto entry = read_entry(of.entry);
  Run result;
  const auto linear = linear_soft_value(reference_mixture(), 1.2);
  const RewardValue reward = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    result.rewards += x.size(0);
    return linear(x, step, c);
  };
  const auto section = sampler_section(of.sampler);
  check_steering({entry}, section, {RewardSpec{}});
  const auto steering = make_steering(
      {entry}, section, {0, kSteps}, uniform_schedule(kSteps), [&](RewardUse) { return reward; }, 3);
  SamplerInput in = laboratory_input(reference_mixture(), uniform_schedule(kSteps), 1, 3, kShape);
  in.velocity = steering.guidance(in_parts(in.velocity, rows_at_once));
  in.slot_B.clear();
  for (const int64_t group : order)
    for (int64_t p = 0; p < steering.particles; ++p) in.slot_B.push_back(group * steering.particles + p);
  in.conditioning.prompts.assign(in.slot_B.size(), "");
  in.x_BCFHW = normal_noise(3, Purpose::initial_noise, in.slot_B, 0, kShape, at::kDouble);
  auto trajectory = steering.sample ? steering.sample(in) : draw_samples(in, section, {0, kSteps});
  result.x0 = trajectory.x0_BCFHW;
  if (trajectory.particles) result.record = *trajectory.particles;
  return result;
}

at::Tensor base(const std::string& sampler, const std::vector<int64_t>& slots) {
  auto in = laboratory_input(reference_mixture(), uniform_schedule(kSteps), 1, 3, kShape);
  in.slot_B = slots;
  in.conditioning.prompts.assign(slots.size(), "");
  in.x_BCFHW = normal_noise(3, Purpose::initial_noise, slots, 0, kShape, at::kDouble);
  const auto section = sampler_section(sampler);
  return draw_samples(in, section, {0, kSteps}).x0_BCFHW;
}

std::vector<int64_t> first(int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

TEST(SteeringLaws, EveryMethodOfTheTableIsHere) {
  for (const auto& row : steering_table())
    EXPECT_TRUE(std::any_of(cases().begin(), cases().end(),
                            [&](const Case& c) { return c.entry.at("name") == row.name; }))
        << row.name << " has no case in this file";
}

TEST(SteeringLaws, ScaleNothingIsTheBaseSamplerBitForBit) {
  for (auto one : cases()) {
    one.entry.update(one.neutral);
    EXPECT_TRUE(at::equal(run(one, first(5)).x0, base(one.sampler, first(5)))) << one.entry.dump();
  }
}

TEST(SteeringLaws, EveryMethodChangesSomething) {
  for (const auto& one : cases())
    EXPECT_FALSE(at::equal(run(one, first(5)).x0, base(one.sampler, first(5)))) << one.entry.dump();
}

TEST(SteeringLaws, GroupsDoNotKnowOfEachOther) {
  const std::vector<int64_t> order = {3, 0, 4, 1};
  for (const auto& one : cases()) {
    const auto all = run(one, first(5)).x0, some = run(one, order).x0;
    EXPECT_TRUE(at::equal(all.index_select(0, at::tensor(order)), some)) << one.entry.dump();
  }
}

TEST(SteeringLaws, TheMicroBatchDoesNotMatter) {
  for (const auto& one : cases())
    for (const int64_t rows : {1, 7})
      EXPECT_TRUE(at::equal(run(one, first(5)).x0, run(one, first(5), rows).x0))
          << one.entry.dump() << " at " << rows;
}

// Float64 latents of an affine flow: what is drawn must stay finite and of the input's dtype.
TEST(SteeringLaws, LatentsKeepTheirDtype) {
  for (const auto& one : cases()) {
    const auto x0 = run(one, first(3)).x0;
    EXPECT_EQ(x0.scalar_type(), at::kDouble) << one.entry.dump();
    EXPECT_TRUE(x0.isfinite().all().item<bool>()) << one.entry.dump();
  }
}

}  // namespace
}  // namespace thalweg
