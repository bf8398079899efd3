#include "pipelines/plan/draw_cost.h"

#include <gtest/gtest.h>

#include "samplers/schedules/linear.h"
#include "tests/samplers/entries.h"

namespace thalweg {
namespace {

constexpr int64_t kSteps = 8;

DrawSettings settings(const char* sampler, std::vector<SteeringEntry> steering = {}) {
  SamplerSection section;
  section.kind = {sampler_table(), sampler};
  section.steps = kSteps;
  return {section, std::move(steering), linear_schedule(kSteps), {0, kSteps}};
}

double evaluations(const DrawSettings& s) {
  return draw_cost(s, 3, 16).network_evaluations;
}

TEST(DrawCost, SolversHaveTheirOrder) {
  EXPECT_EQ(evaluations(settings("flow_ode")), 8);
  EXPECT_EQ(evaluations(settings("memoryless")), 8);
  EXPECT_EQ(evaluations(settings("heun")), 15);  // the last step is Euler's
  EXPECT_EQ(evaluations(settings("dpmpp_2m")), 8);
  EXPECT_EQ(evaluations(settings("dpmpp_2s")), 14);  // so are the first, from 1, and the last, to 0
}

TEST(DrawCost, GuidanceCostsTwiceInItsInterval) {
  auto s = settings("flow_sde");
  s.sampler.guidance_scale = 4.0;
  EXPECT_EQ(evaluations(s), 16);
  s.sampler.guidance_begin = 2;
  s.sampler.guidance_size = 3;
  EXPECT_EQ(evaluations(s), 11);
  const auto cost = draw_cost(s, 3, 16);
  EXPECT_EQ(cost.samples, 3);
  EXPECT_EQ(cost.network_rows, 6);
}

TEST(DrawCost, AShorterTailTakesFewerSteps) {
  auto s = settings("flow_sde");
  s.window = {0, 2};
  s.sampler.tail_ratio = 0.5;
  EXPECT_EQ(evaluations(s), 2 + 3);
}

TEST(DrawCost, ParticlesShareAMicroBatch) {
  Json fk = {{"name", "fk"}, {"particles", 4}, {"interval", 3}};
  const auto cost = draw_cost(settings("flow_sde", {read_entry(fk)}), 100, 10);
  EXPECT_EQ(cost.samples, 2);
  EXPECT_EQ(cost.network_rows, 8);
  EXPECT_EQ(cost.network_evaluations, 4 * 8);
  EXPECT_EQ(cost.reward_calls, 4 * (3 + 1));  // before steps 0, 3, 6, and in the end
  EXPECT_EQ(cost.returned, 1);
  EXPECT_EQ(cost.kept_network_rows, 0);
  fk["returned"] = "all";
  fk["particles"] = 40;
  const auto many = draw_cost(settings("flow_sde", {read_entry(fk)}), 100, 10);
  EXPECT_EQ(many.samples, 1);
  EXPECT_EQ(many.returned, 40);
  EXPECT_EQ(many.network_rows, 10);
  EXPECT_EQ(many.reward_rows, 10);
}

// The graph of a gradient reaches over all parts of a batch, whatever one call takes.
TEST(DrawCost, GradientsKeepTheirWholeBatch) {
  auto s = settings("flow_sde", {read_entry({{"name", "das"}, {"particles", 40}})});
  auto cost = draw_cost(s, 1, 10);
  EXPECT_EQ(cost.network_gradients, 40 * kSteps);
  EXPECT_EQ(cost.reward_gradients, 40 * kSteps);
  EXPECT_EQ(cost.network_rows, 10);
  EXPECT_EQ(cost.kept_network_rows, 40);
  EXPECT_EQ(cost.kept_reward_rows, 40);
  s.sampler.guidance_scale = 2.0;
  cost = draw_cost(s, 1, 10);
  EXPECT_EQ(cost.network_rows, 20);
  EXPECT_EQ(cost.kept_network_rows, 80);
}

TEST(DrawCost, GradientsOfTheCleanEstimateAloneKeepNoNetwork) {
  const auto cost = draw_cost(settings("flow_ode", {read_entry({{"name", "mpgd"}})}), 4, 4);
  EXPECT_EQ(cost.network_gradients, 0);
  EXPECT_EQ(cost.reward_gradients, kSteps);
  EXPECT_EQ(cost.kept_network_rows, 0);
  EXPECT_EQ(cost.kept_reward_rows, 4);
}

// The outer gradient goes through the inner one's network, which then is asked once for both; but in the
// first step, where both take theirs below t = 1: the inner one's velocity and gradient are asked for each of
// the outer's two, four in all.
TEST(DrawCost, GuidanceWithinGuidanceIsCountedAsItRuns) {
  const auto cost =
      draw_cost(settings("flow_ode", {read_entry({{"name", "dps"}}), read_entry({{"name", "dps"}})}), 4, 4);
  EXPECT_EQ(cost.network_evaluations, kSteps - 1 + 4);
  EXPECT_EQ(cost.network_gradients, kSteps - 1 + 3);
  EXPECT_EQ(cost.reward_gradients, 2 * (kSteps - 1) + 3);
  EXPECT_EQ(cost.kept_network_rows, 8);  // there, for both
}

}  // namespace
}  // namespace thalweg
