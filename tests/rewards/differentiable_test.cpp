#include "rewards/differentiable.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

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

TEST(DifferentiableScore, ASampleWithoutAGradientGetsZero) {
  const auto model = energy();
  ScoreInput input;
  input.latents_BCFHW = at::ones({3, 1, 1, 1, 2});
  input.latents_BCFHW[1].fill_(200);  // the fixture writes no gradient above 100
  input.latents_BCFHW.set_requires_grad(true);
  input.sigmas_B = at::zeros({3});
  const auto raw = model->gradient(input, at::ones({3, 1})).gradient;
  EXPECT_TRUE(raw[1].isnan().all().item<bool>());
  EXPECT_TRUE(raw[0].eq(-1).all().item<bool>());
  EXPECT_TRUE(model->gradient(input, at::zeros({3, 1})).gradient.eq(0).all().item<bool>());

  std::vector<std::string> reasons;
  const auto report = [&](const std::vector<CallFailure>& failures) {
    for (const auto& failure : failures) reasons.push_back(failure.reason);
  };
  const auto gradient = gradient_of(differentiable_score(model, input, report).sum(), input.latents_BCFHW);
  EXPECT_EQ(reasons, std::vector<std::string>{"left a gradient unwritten or not finite"});
  EXPECT_TRUE(gradient[1].eq(0).all().item<bool>());
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
