// One iteration of each method on a GPU: against the CPU, through a checkpoint, and without waits that grow
// with the number of steps.
#include "pipelines/align/context.h"
#include "pipelines/align/few_step.h"
#include "pipelines/training/state.h"
#include "tests/gpu/gpu.h"
#include "tests/gpu/no_waiting.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

AlignOptions tiny(const std::string& method, const std::string& device, const std::string& output,
                  const std::string& dtype = "float32", int64_t steps = 4) {
  const bool grpo = method == "flow_grpo";
  Json sampler = {{"name", grpo ? "flow_sde" : "flow_ode"},
                  {"steps", steps},
                  {"guidance_scale", 2.0},
                  {"height", 64},
                  {"width", 64}};
  Json settings = {
      {"name", method}, {"prompts_per_iteration", 2}, {"group_size", 4}, {"updates", 2}, {"kl_beta", 0.01}};
  if (!grpo) settings["times_per_sample"] = steps;
  const Json reward = {{"plugin", THALWEG_BUILD_DIR "/plugins/color.so"}, {"isolation", "inproc"}};
  const Json job = {{"model",
                     {{"path", "assets/models/tiny-sd3"},
                      {"dtype", dtype},
                      {"max_sequence_length", 1},
                      {"activation_checkpointing", true},
                      {"lora", {{"rank", 4}, {"alpha", 8}}}}},
                    {"prompts",
                     {{"train", "assets/prompts/scenes/train.txt"},
                      {"select", "assets/prompts/scenes/select.txt"},
                      {"eval", "assets/prompts/scenes/eval.txt"}}},
                    {"sampler", sampler},
                    {"rewards", Json::array({reward})},
                    {"method", settings},
                    {"optimizer", {{"name", "adamw"}, {"learning_rate", 1e-3}}},
                    {"ema_decay", 0.9},
                    {"parallel", {{"micro_batch", 4}, {"lanes", 2}}},
                    {"device", device},
                    {"output", output}};
  AlignOptions options;
  read_fields(job, "", [&](Fields& f) { describe(f, options); });
  fill_steps(options);
  return options;
}

double number(const Metrics& metrics, const std::string& name) {
  for (const auto& [key, value] : metrics)
    if (key == name) return value;
  return std::nan("");
}

class GpuAlign : public GpuTest, public ::testing::WithParamInterface<const char*> {
 protected:
  struct Run {
    Run(const AlignOptions& o, int64_t iterations) : options(o), context(options, observer) {
      for (int64_t i = 0; i < iterations; ++i) metrics = context.method->iterate(i);
    }
    const Role& policy() const { return context.training.policy; }
    AlignOptions options;
    Observer observer;
    AlignContext context;
    Metrics metrics;
  };
  const Scratch scratch_;
  const std::string out_ = scratch_.folder().string();
};

TEST_P(GpuAlign, IterationIsThatOfTheCpu) {
  const Run cpu(tiny(GetParam(), "cpu", out_), 1), gpu(tiny(GetParam(), "cuda", out_), 1);
  ASSERT_EQ(cpu.metrics.size(), gpu.metrics.size());
  for (const auto& [name, value] : cpu.metrics)
    if (name.find("clipfrac") == std::string::npos && name.find("masked") == std::string::npos) {
      EXPECT_NEAR(number(gpu.metrics, name), value, 1e-3 * std::max(1.0, std::abs(value))) << name;
    }
  for (const auto& [name, tensor] : cpu.policy().parameters()) {
    EXPECT_TRUE(gpu.policy().parameters().at(name).is_cuda());
    // Adam's first steps have the gradient's sign times the rate: an element near 0 may go the other way.
    const auto close = (gpu.policy().parameters().at(name).to(at::kCPU) - tensor).abs().lt(1e-3);
    EXPECT_GT(close.to(at::kDouble).mean().item<double>(), 0.98) << name;
  }
}

TEST_P(GpuAlign, WhatIsOffloadedIsOnTheHostAndLearnsTheSame) {
  auto options = tiny(GetParam(), "cuda", out_);
  const Run plain(options, 1);
  options.optimizer.offload = true;
  const Run offloaded(options, 1);
  for (const auto& [name, tensor] : plain.policy().parameters()) {
    const auto& other = offloaded.policy().parameters().at(name);
    EXPECT_TRUE(other.is_cpu());
    EXPECT_TRUE(offloaded.policy().shown().at(name).is_cpu());
    const auto close = (other - tensor.to(at::kCPU)).abs().lt(1e-3);
    EXPECT_GT(close.to(at::kDouble).mean().item<double>(), 0.98) << name;
  }
}

TEST_P(GpuAlign, GoesOnFromACheckpoint) {
  const auto options = tiny(GetParam(), "cuda", out_);
  Run whole(options, 1), resumed(options, 0);
  CheckpointWriter checkpoint(options.output, 1);
  StateWriter written(checkpoint);
  whole.context.training.roles.state(written);
  StateReader read(checkpoint.commit(written.json(), {}), at::kCUDA);
  resumed.context.training.roles.state(read);
  EXPECT_EQ(resumed.policy().steps(), whole.policy().steps());
  for (const auto& [name, tensor] : whole.policy().parameters()) {
    EXPECT_TRUE(resumed.policy().parameters().at(name).is_cuda());
    EXPECT_TRUE(at::equal(resumed.policy().parameters().at(name), tensor)) << name;
    EXPECT_TRUE(at::equal(resumed.policy().shown().at(name), whole.policy().shown().at(name))) << name;
  }
  const auto a = whole.context.method->iterate(1), b = resumed.context.method->iterate(1);
  EXPECT_NEAR(number(a, "policy_loss"), number(b, "policy_loss"), 1e-5);
  EXPECT_NEAR(number(a, "grad_norm"), number(b, "grad_norm"), 1e-3 * number(a, "grad_norm"));
}

// The waits of an iteration: for pictures and scores, for the numbers of an update. Twice the steps wait as
// often.
TEST_P(GpuAlign, WaitsDoNotGrowWithTheSteps) {
  const auto waits = [&](int64_t steps) {
    Run run(tiny(GetParam(), "cuda", out_, "bfloat16", steps), 1);
    ::testing::internal::CaptureStderr();
    {
      const ToldWaiting told;
      run.context.method->iterate(1);
    }
    const auto text = ::testing::internal::GetCapturedStderr();
    int count = 0;
    for (size_t at = text.find(kWaitMark); at != std::string::npos; at = text.find(kWaitMark, at + 1))
      ++count;
    return count;
  };
  const int few = waits(4);
  EXPECT_GT(few, 0);
  EXPECT_EQ(waits(8), few);
}

INSTANTIATE_TEST_SUITE_P(Methods, GpuAlign, ::testing::Values("flow_grpo", "diffusion_nft"));

}  // namespace
}  // namespace thalweg
