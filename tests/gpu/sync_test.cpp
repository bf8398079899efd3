// Nothing waits for the GPU inside a step loop. LibTorch can turn every wait into an error: here the samplers
// run so.
#include <c10/core/GradMode.h>

#include "engine/core/rng.h"
#include "pipelines/models.h"
#include "samplers/guidance/cfg.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "tests/gpu/gpu.h"
#include "tests/gpu/no_waiting.h"

namespace thalweg {
namespace {

class GpuSync : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    ModelOptions options{.max_sequence_length = 1, .device = gpu_};
    model_ = load_model("assets/models/tiny-sd3", options);
    const auto velocity = cfg(3.0, model_->encode({""}))(model_->bind(model_->backbone(), nullptr));
    input_ = {velocity,
              model_->schedule(6, 64, 64),
              model_->encode({"a red circle", "a blue square"}),
              normal_noise(1, Purpose::initial_noise, {4, 9}, 0, model_->latent_shape(64, 64, 1).sizes(),
                           at::kFloat, gpu_),
              {4, 9},
              1};
    c10::NoGradGuard no_grad;
    sample_transitions(input_, flow_sde(0.7), {0, 1});  // what waits once (libraries' workspaces) waits here
  }
  std::unique_ptr<FlowModel> model_;
  SamplerInput input_;
};

TEST_F(GpuSync, TheGuardSeesAWait) {
  const NoWaiting guard;
  EXPECT_THROW(input_.x_BCFHW.sum().item<double>(), c10::Error);
}

TEST_F(GpuSync, SamplersDoNotWait) {
  c10::NoGradGuard no_grad;
  const NoWaiting guard;
  EXPECT_NO_THROW(sample_transitions(input_, ode()));
  EXPECT_NO_THROW(sample_transitions(input_, flow_sde(0.7), {0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace thalweg
