#include "pipelines/plan/load.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/models/sd3/sd3_size.h"
#include "pipelines/plan/advice.h"
#include "samplers/schedules/linear.h"

namespace thalweg {
namespace {

ModelSize embedded() {
  return sd3_size("assets/models/tiny-sd3", {at::kBFloat16, at::kBFloat16, 1}, 64, 64);
}

DrawLoad drawn_by(const char* sampler, double guidance_scale) {
  SamplerSection section;
  section.kind = {sampler_table(), sampler};
  section.steps = 10;
  section.guidance_scale = guidance_scale;
  return draw_load("rollout", 64, {section, {}, linear_schedule(10), {0, 10}}, 16);
}

JobLoad load_of(bool lora) {
  JobLoad load;
  load.model.dtype = "bfloat16";
  load.model.has_lora = lora;
  load.parallel.workers = 2;
  load.parallel.lanes = 2;
  load.parallel.micro_batch = 16;
  load.draws = {drawn_by("flow_ode", 1.0)};
  load.iterations = 3;
  load.trained_samples = 64;
  load.forwards_with_gradient = 4;
  load.roles = {{"policy", true, false}};
  return load;
}

double held(const Plan& plan, const std::string& name) {
  for (const auto& item : plan.held)
    if (item.name == name) return item.bytes;
  return 0.0;
}

TEST(JobLoad, CountsRanksByLayer) {
  const auto size = embedded();
  auto load = load_of(true);
  load.model.lora.rank = 4;
  load.model.lora.targets = {"attn.to_q", "attn.to_k"};
  const double all = trainable_parameters(load, size);  // layers of [128, 128]: 8 blocks, two in each
  double layers = 0;
  for (const auto& spec : size.specs) layers += spec.name.ends_with("attn.to_q.weight") ? 1.0 : 0.0;
  EXPECT_EQ(all, 2.0 * layers * 4.0 * 256.0);
  load.model.lora.rank_pattern = {{"transformer_blocks.0.attn.to_q", 64.0}, {"to_k", 1.0}};
  EXPECT_EQ(trainable_parameters(load, size), 256.0 * (64.0 + 4.0 * (layers - 1.0) + layers));
  load.model.lora.rank_pattern = {{"to_v", 2.0}};
  EXPECT_THROW(trainable_parameters(load, size), Error);
}

TEST(JobLoad, WhatIsOffloadedIsNotInTheMemoryOfAGpu) {
  const auto size = embedded();
  auto load = load_of(false);
  load.roles = {{"policy", true, true}};
  Plan plain, offloaded, on_cpu;
  load.device = at::Device(at::kCUDA, 0);
  plan_memory(load, size, 0.0, plain);
  load.offloaded = true;
  plan_memory(load, size, 0.0, offloaded);
  for (const char* part : {"policy, float32", "policy's moments", "policy's average"}) {
    EXPECT_GT(held(plain, part), 0.0) << part;
    EXPECT_EQ(held(offloaded, part), 0.0) << part;
  }
  const double trainable = trainable_parameters(load, size);
  EXPECT_LE(offloaded.peak_bytes, plain.peak_bytes - 16.0 * trainable + 1.0);  // master, moments, average
  load.device = at::kCPU;
  plan_memory(load, size, 0.0, on_cpu);
  EXPECT_GT(held(on_cpu, "policy, float32"), 0.0);
}

// docs/decisions/0008 lists these counts.
TEST(Sd3Size, CountsTheEmbeddedModel) {
  const auto size = embedded();
  // Its 3,497,792 parameters, and the position table of 4 x 4 patches, which is stored and not trained.
  EXPECT_EQ(size.backbone.parameters, 3497792 + 16 * 128);
  EXPECT_EQ(size.vae.parameters, 233659);
  ASSERT_EQ(size.text_encoders.size(), 2u);
  EXPECT_EQ(size.text_encoders[0].parameters, 401280);
  EXPECT_EQ(size.text_encoders[1].parameters, 45280);
  EXPECT_EQ(size.latent_elements, 4 * 16 * 16);
  // 3.3 M parameters in matrices, of which the blocks' see 16 image or 11 text tokens.
  EXPECT_GT(size.forward_flops, 2e7);
  EXPECT_LT(size.forward_flops, 2.0 * 3497792 * 27);
}

TEST(Sd3Size, OfAFolderWithoutWeightsIsAnError) {
  EXPECT_ANY_THROW(sd3_size("assets/prompts", {}, 64, 64));
}

TEST(PlanMemory, CountsTheRolesOfFullFineTuning) {
  auto load = load_of(false);
  load.roles = {{"policy", true, true}, {"old", false, false}};
  load.best = true;
  Plan plan;
  plan_memory(load, embedded(), 1e8, plan);
  const double n = 3497792;
  EXPECT_EQ(held(plan, "program"), 1e8);
  EXPECT_EQ(held(plan, "transformer"), 2 * (n + 16 * 128));
  EXPECT_EQ(held(plan, "policy, float32"), 4 * n);
  EXPECT_EQ(held(plan, "policy's moments"), 8 * n);
  EXPECT_EQ(held(plan, "policy's average"), 4 * n);
  EXPECT_EQ(held(plan, "old, float32"), 4 * n);
  EXPECT_EQ(held(plan, "best checkpoint so far"), 4 * n);
}

TEST(PlanMemory, FollowsTheSettings) {
  const auto size = embedded();
  const auto peak = [&](const JobLoad& load) {
    Plan plan;
    plan_memory(load, size, 1e8, plan);
    return plan.peak_bytes;
  };
  const auto base = load_of(false);
  EXPECT_LT(peak(load_of(true)), peak(base));
  auto other = base;
  other.cut(8);
  EXPECT_LT(peak(other), peak(base));
  other = base;
  other.rows_with_gradient = 2.0;
  EXPECT_GT(peak(other), peak(base));
  other = base;
  other.parallel.workers = 8;  // two lanes train two at a time, whatever the workers
  Plan two, eight;
  plan_memory(base, size, 0.0, two);
  plan_memory(other, size, 0.0, eight);
  EXPECT_EQ(two.transient.back().bytes, eight.transient.back().bytes);
}

TEST(PlannedDraws, EndWithWhatTrainingAsksFor) {
  auto load = load_of(false);
  load.forwards_without = 2;
  load.backwards = 5;
  load.latent_backwards = 1;
  const auto draws = planned_draws(load);
  ASSERT_EQ(draws.size(), 2u);
  EXPECT_EQ(draws[0].phase, "rollout");
  EXPECT_EQ(draws[1].phase, "training");
  EXPECT_EQ(draws[1].samples, 3.0 * 64);
  EXPECT_EQ(draws[1].network_evaluations, 3.0 * 64 * 6);
  EXPECT_EQ(draws[1].network_gradients, 3.0 * 64 * 6);
  EXPECT_EQ(draws[1].reward_calls, 0.0);
  load.iterations = 0;  // a job that only draws
  EXPECT_EQ(planned_draws(load).size(), 1u);
}

TEST(PlanAdvice, NamesWhatLowersThePeak) {
  const auto size = embedded();
  const auto load = load_of(false);
  Plan plan;
  plan_memory(load, size, 1e6, plan);
  plan_advice(load, size, 1e6, 0.0, plan);
  ASSERT_FALSE(plan.advice.empty());
  for (const auto& advice : plan.advice) EXPECT_LT(advice.peak_bytes, plan.peak_bytes) << advice.setting;
  for (size_t i = 1; i < plan.advice.size(); ++i)
    EXPECT_LE(plan.advice[i - 1].peak_bytes, plan.advice[i].peak_bytes);
}

TEST(PlanTime, IsCountTimesCost) {
  const auto size = embedded();
  auto load = load_of(false);
  Plan once, twice;
  plan_time(load, size, 1e11, 1e11, once);
  load.iterations *= 2;
  plan_time(load, size, 1e11, 1e11, twice);
  EXPECT_NEAR(twice.total_s, 2.0 * once.total_s, 1e-9);
  EXPECT_NEAR(twice.iteration_s, once.iteration_s, 1e-12);
  load.draws = {drawn_by("flow_ode", 3.0)};
  Plan guided;
  plan_time(load, size, 1e11, 1e11, guided);
  EXPECT_NEAR(guided.phases[0].cpu_s, 2.0 * twice.phases[0].cpu_s, 1e-9);
}

}  // namespace
}  // namespace thalweg
