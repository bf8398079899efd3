#include "rewards/differentiable.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/rewards/fake_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

std::shared_ptr<PluginReward> energy() {
  return std::make_shared<PluginReward>(probe_library(), Json::object(), Activation{}, "",
                                        "org.thalweg.test.energy");
}

at::Tensor gradient_of(const at::Tensor& y, const at::Tensor& x) {
  return torch::autograd::grad({y}, {x}).front();
}

TEST(DifferentiableScore, EqualsAutogradOfTheSameFormula) {
  const auto model = std::make_shared<PluginReward>(color_library(), Json{{"channel", "blue"}}, Activation{});
  const auto pixels = random_frames(3, 2, 4, 4).set_requires_grad(true);
  // Something before and after the reward, so that the node is within a graph.
  const auto ours =
      differentiable_score(model, frames_input(pixels * pixels), expect_no_failures).exp().sum();
  const auto mean_B3 = (pixels * pixels).mean(at::IntArrayRef{1, 3, 4});
  const auto theirs = (1.5 * mean_B3.select(1, 2) - 0.5 * mean_B3.sum(1)).exp().sum();
  EXPECT_NEAR(ours.item<double>(), theirs.item<double>(), 1e-5);
  EXPECT_TRUE(at::allclose(gradient_of(ours, pixels), gradient_of(theirs, pixels), 1e-5, 1e-7));
}

TEST(DifferentiableScore, ReachesLatentsAndKeepsTheirDtype) {
  const auto model = energy();
  EXPECT_EQ(model->info().gradient_of, GradientOf::latents);
  ScoreInput input;
  input.latents_BCFHW = at::arange(24).to(at::kDouble).div(24).view({2, 3, 1, 2, 2}).set_requires_grad(true);
  input.sigmas_B = at::tensor({0.25, 1.0}, at::kDouble);
  const auto gradient =
      gradient_of(differentiable_score(model, input, expect_no_failures).sum(), input.latents_BCFHW);
  EXPECT_EQ(gradient.scalar_type(), at::kDouble);
  const auto expected = -(1 + input.sigmas_B).view({2, 1, 1, 1, 1}) * input.latents_BCFHW.detach();
  EXPECT_TRUE(at::allclose(gradient, expected, 1e-6, 1e-6));
}

/// sum(frames) + sum(latents^2), in two halves.
std::shared_ptr<FakeReward> of_both() {
  auto reward = std::make_shared<FakeReward>("both");
  reward->about.dimensions_K = {"both"};
  reward->about.required.latents = true;
  reward->about.gradient_of = GradientOf::both;
  reward->scores = [](const ScoreInput& input) {
    return Scored{(input.frames_BF3HW.flatten(1).sum(1) + input.latents_BCFHW.flatten(1).square().sum(1))
                      .to(at::kFloat)
                      .unsqueeze(1),
                  {}};
  };
  reward->gradients = [](const ScoreInput& input, const at::Tensor& cotangent_BK) {
    const auto c = cotangent_BK.view({-1, 1, 1, 1, 1});
    return ScoreGradient{
        c * at::ones_like(input.frames_BF3HW, at::kFloat), (2 * c * input.latents_BCFHW).to(at::kFloat), {}};
  };
  return reward;
}

TEST(DifferentiableScore, FramesThatAreDecodedLatentsAndTheLatentsAddUp) {
  const auto latents = at::arange(24).to(at::kDouble).div(24).view({2, 3, 1, 2, 2}).set_requires_grad(true);
  ScoreInput input;
  input.latents_BCFHW = latents;
  input.frames_BF3HW = latents.transpose(1, 2).pow(3);  // some decoder
  input.sigmas_B = at::zeros({2});
  const auto value = differentiable_score(of_both(), input, expect_no_failures);
  const auto x = latents.detach();
  const auto expected = 3 * x.square() + 2 * x;
  EXPECT_TRUE(at::allclose(gradient_of(value.sum(), latents), expected, 1e-6, 1e-6));
  // Where one of them is not there to be differentiated, the other half is all.
  input.frames_BF3HW = input.frames_BF3HW.detach();
  EXPECT_TRUE(
      at::allclose(gradient_of(differentiable_score(of_both(), input, expect_no_failures).sum(), latents),
                   2 * x, 1e-6, 1e-6));
}

TEST(PluginGradient, OfASampleThatLacksOneHalfIsNone) {
  const auto library = std::filesystem::path(THALWEG_BUILD_DIR) / "tests/plugins/two_inputs.so";
  auto input = frames_input(random_frames(3, 1, 2, 2));
  input.latents_BCFHW = at::ones({3, 1, 1, 2, 2});
  input.sigmas_B = at::zeros({3});
  PluginReward whole(library, Json::object(), Activation{});
  EXPECT_EQ(whole.info().gradient_of, GradientOf::both);
  const auto good = whole.gradient(input, at::ones({3, 1}));
  EXPECT_TRUE(good.failures.empty());
  EXPECT_TRUE(at::allclose(good.frames_BF3HW, at::full({3, 1, 3, 2, 2}, 0.7 / 12)));
  EXPECT_TRUE(at::allclose(good.latents_BCFHW, at::full({3, 1, 1, 2, 2}, 0.5 / 4)));
  for (const char* half : {"frames", "latents"}) {
    PluginReward muted(library, Json{{"mute", half}}, Activation{});
    const auto none = muted.gradient(input, at::tensor({1.0f, 1.0f, 0.0f}).view({3, 1}));
    EXPECT_EQ(only(none.failures), "its gradient failed: unavailable: this half is muted");
    EXPECT_EQ(none.failures[0].samples, 2);  // the third was not asked for
    for (const auto& gradient : {none.frames_BF3HW, none.latents_BCFHW}) {
      EXPECT_TRUE(gradient.slice(0, 0, 2).isnan().all().item<bool>()) << half;
      EXPECT_TRUE(gradient[2].eq(0).all().item<bool>()) << half;
    }
  }
}

TEST(DifferentiableScore, ASampleWithoutAGradientGetsNone) {
  const auto model = energy();
  ScoreInput input;
  input.latents_BCFHW = at::ones({3, 1, 1, 1, 2});
  input.latents_BCFHW[1].fill_(200);  // the fixture writes no gradient above 100
  input.latents_BCFHW.set_requires_grad(true);
  input.sigmas_B = at::zeros({3});
  const auto raw = model->gradient(input, at::ones({3, 1})).latents_BCFHW;
  EXPECT_TRUE(raw[1].isnan().all().item<bool>());
  EXPECT_TRUE(raw[0].eq(-1).all().item<bool>());
  EXPECT_TRUE(model->gradient(input, at::zeros({3, 1})).latents_BCFHW.eq(0).all().item<bool>());

  std::vector<std::string> reasons;
  const auto report = [&](const std::vector<CallFailure>& failures) {
    for (const auto& failure : failures) reasons.push_back(failure.reason);
  };
  const auto gradient = gradient_of(differentiable_score(model, input, report).sum(), input.latents_BCFHW);
  EXPECT_EQ(reasons, std::vector<std::string>{"left a gradient unwritten or not finite"});
  EXPECT_TRUE(gradient[1].isnan().all().item<bool>());
  EXPECT_TRUE(gradient[2].eq(-1).all().item<bool>());
}

TEST(DifferentiableScore, ASampleThatWasNotScoredTakesNoCotangent) {
  const auto model = std::make_shared<PluginReward>(color_library(), Json::object(), Activation{});
  auto frames = random_frames(2, 1, 2, 2);
  frames[1].fill_(std::numeric_limits<float>::quiet_NaN());
  frames.set_requires_grad(true);
  int64_t unscored = 0;
  const auto values =
      differentiable_score(model, frames_input(frames), [&](const std::vector<CallFailure>& failures) {
        for (const auto& failure : failures) unscored += failure.samples;
      });
  EXPECT_EQ(unscored, 1);
  EXPECT_TRUE(values[1].isnan().all().item<bool>());
  const auto gradient = gradient_of(values.sum(), frames);
  EXPECT_TRUE(gradient[1].eq(0).all().item<bool>());
  EXPECT_FALSE(gradient[0].eq(0).any().item<bool>());
}

TEST(DifferentiableScore, RefusesARewardWithoutAGradient) {
  const auto model = std::make_shared<PluginReward>(probe_library(), Json::object(), Activation{});
  const auto input = frames_input(random_frames(1, 1, 2, 2));
  EXPECT_NE(error_of([&] {
              differentiable_score(model, input, expect_no_failures);
            }).message.find("has no gradient"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              model->gradient(input, at::ones({1, 14}));
            }).message.find("no gradient"),
            std::string::npos);
}

TEST(DifferentiableScore, RefusesASecondDerivative) {
  const auto model = std::make_shared<PluginReward>(color_library(), Json::object(), Activation{});
  const auto frames = random_frames(1, 1, 2, 2).set_requires_grad(true);
  const auto value = differentiable_score(model, frames_input(frames), expect_no_failures).sum();
  try {
    torch::autograd::grad({value}, {frames}, {}, true, /*create_graph=*/true);
    FAIL() << "a second derivative was promised";
  } catch (const std::exception& e) {
    EXPECT_NE(std::string(e.what()).find("first derivatives only"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace thalweg::testing
