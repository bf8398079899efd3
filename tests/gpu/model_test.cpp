// The embedded model on a GPU against itself on the CPU: float32 without TF32, to 1e-3.
#include <c10/core/GradMode.h>

#include "engine/core/rng.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "pipelines/models.h"
#include "samplers/guidance/cfg.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "tests/gpu/gpu.h"

namespace thalweg {
namespace {

class GpuModel : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    ModelOptions options{.max_sequence_length = 1};
    cpu_model_ = load_model("assets/models/tiny-sd3", options);
    options.device = gpu_;
    gpu_model_ = load_model("assets/models/tiny-sd3", options);
  }
  SamplerInput input(const FlowModel& model, const Velocity& velocity) const {
    const auto guided = cfg(3.0, model.encode({""}))(velocity);
    return {guided,
            model.schedule(6, 64, 64),
            model.encode(prompts_),
            normal_noise(1, Purpose::initial_noise, slots_, 0, model.latent_shape(64, 64, 1).sizes(),
                         at::kFloat, model.device()),
            slots_,
            1};
  }
  static Velocity frozen(const FlowModel& model) { return model.bind(model.backbone(), nullptr); }

  const std::vector<std::string> prompts_ = {"a red circle", "a blue square"};
  const std::vector<int64_t> slots_ = {4, 9};
  std::unique_ptr<FlowModel> cpu_model_, gpu_model_;
};

TEST_F(GpuModel, TextVelocityAndPictures) {
  c10::NoGradGuard no_grad;
  const auto cpu = cpu_model_->encode(prompts_), gpu = gpu_model_->encode(prompts_);
  for (const auto& [name, tensor] : cpu.tensors)
    EXPECT_LE(largest_difference(gpu.tensors.at(name), tensor), 1e-3) << name;
  const auto a = sample_transitions(input(*cpu_model_, frozen(*cpu_model_)), ode()).x0_BCFHW;
  const auto b = sample_transitions(input(*gpu_model_, frozen(*gpu_model_)), ode()).x0_BCFHW;
  EXPECT_TRUE(b.is_cuda());
  EXPECT_LE(largest_difference(b, a), 1e-3);
  EXPECT_LE(largest_difference(gpu_model_->decode(b), cpu_model_->decode(a)), 1e-3);
}

TEST_F(GpuModel, StochasticRollout) {
  c10::NoGradGuard no_grad;
  const auto a = sample_transitions(input(*cpu_model_, frozen(*cpu_model_)), flow_sde(0.7), {0, 1, 2, 3, 4});
  const auto b = sample_transitions(input(*gpu_model_, frozen(*gpu_model_)), flow_sde(0.7), {0, 1, 2, 3, 4});
  EXPECT_LE(largest_difference(b.x0_BCFHW, a.x0_BCFHW), 1e-3);
  EXPECT_LE(largest_difference(b.log_probs_TB, a.log_probs_TB), 1e-3);
}

TEST_F(GpuModel, GradientsAndTheirUpdate) {
  TensorMap gradients[2], updated[2];
  for (const bool on_gpu : {false, true}) {
    const auto& model = on_gpu ? *gpu_model_ : *cpu_model_;
    auto policy = leaves(model.master_backbone());
    policy.erase("pos_embed.pos_embed");
    auto whole = policy;
    whole["pos_embed.pos_embed"] = model.backbone().at("pos_embed.pos_embed");
    const auto in = input(model, model.bind(whole, nullptr));
    const auto v = in.velocity(in.x_BCFHW, step_at(in.schedule, 2, slots_, model.device()), in.conditioning);
    auto mine = gradients_of(v.square().mean(), policy);
    gradients[on_gpu] = cloned(mine);
    const double norm = clip_gradients(mine, 0.1);
    EXPECT_GT(norm, 0.0);
    AdamW adamw({});
    adamw.step(policy, mine, 1e-3);
    EXPECT_EQ(adamw.state().begin()->second.device(), model.device());
    updated[on_gpu] = policy;
  }
  ASSERT_EQ(gradients[0].size(), gradients[1].size());
  for (const auto& [name, tensor] : gradients[0])
    EXPECT_LE(largest_difference(gradients[1].at(name), tensor), 1e-3) << name;
  for (const auto& [name, tensor] : updated[0])
    EXPECT_LE(largest_difference(updated[1].at(name), tensor), 2.1e-3) << name;  // a step of 1e-3 each way
}

}  // namespace
}  // namespace thalweg
