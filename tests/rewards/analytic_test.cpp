// The bundled rewards of the laboratory, through the host.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "engine/core/rng.h"
#include "engine/models/mixture/mixture.h"
#include "rewards/differentiable.h"
#include "rewards/plugin_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

constexpr const char* kOfLatents = "org.thalweg.analytic.latents";

std::shared_ptr<PluginReward> analytic(const Json& config, const std::string& id = "") {
  return std::make_shared<PluginReward>(color_library().parent_path() / "analytic.so", config, Activation{},
                                        "/rewards/0", id);
}

at::Tensor elements(int64_t channels) {
  return normal_noise(4, Purpose::data, {0, 1, 2, 3, 4}, 0, {channels, 4, 2, 2});
}

ScoreInput latents_input(const at::Tensor& x_BCFHW) {
  ScoreInput input;
  input.latents_BCFHW = x_BCFHW;
  input.sigmas_B = at::zeros({x_BCFHW.size(0)}, at::kDouble);
  return input;
}

at::Tensor expected(const std::string& kind, const at::Tensor& x) {
  const auto flat = x.to(at::kDouble).flatten(1);
  if (kind == "linear") return 1.5 * flat.mean(1);
  if (kind == "indicator") return 1.5 * (flat.mean(1) > 0.1).to(at::kDouble);
  return -1.5 * (flat - 0.25).square().mean(1);
}

Json config_of(const std::string& kind) {
  Json config = {{"kind", kind}, {"scale", 1.5}};
  if (kind == "indicator") config["threshold"] = 0.1;
  if (kind == "quadratic") config["center"] = 0.25;
  return config;
}

TEST(AnalyticReward, ValuesAreThoseOfTheFormulas) {
  const auto latents = elements(1), frames = elements(3).transpose(1, 2).contiguous();
  for (const std::string kind : {"linear", "indicator", "quadratic"}) {
    const auto of_latents = analytic(config_of(kind), kOfLatents), of_frames = analytic(config_of(kind));
    EXPECT_EQ(of_frames->info().dimensions_K, std::vector<std::string>{kind});
    EXPECT_TRUE(of_frames->info().required.frames && !of_frames->info().required.latents);
    EXPECT_TRUE(of_latents->info().required.latents && !of_latents->info().required.frames);
    const auto from_latents = of_latents->score(latents_input(latents)).values_BK.squeeze(1).to(at::kDouble);
    EXPECT_TRUE(at::allclose(from_latents, expected(kind, latents), 0, 1e-6)) << kind;
    const auto from_frames = of_frames->score(frames_input(frames)).values_BK.squeeze(1).to(at::kDouble);
    EXPECT_TRUE(at::allclose(from_frames, expected(kind, frames), 0, 1e-6)) << kind;
  }
  const auto both = expected("indicator", elements(1));
  EXPECT_GT(both.max().item<double>(), both.min().item<double>());
}

TEST(AnalyticReward, GradientsAreThoseOfTheFormulas) {
  for (const std::string kind : {"linear", "quadratic"}) {
    auto x = elements(1).requires_grad_();
    const auto values =
        differentiable_score(analytic(config_of(kind), kOfLatents), latents_input(x), expect_no_failures);
    const auto gradient = torch::autograd::grad({(values.squeeze(1) * at::arange(1, 6)).sum()}, {x})[0];
    auto y = x.detach().clone().requires_grad_();
    const auto wanted = torch::autograd::grad({(expected(kind, y) * at::arange(1, 6)).sum()}, {y})[0];
    EXPECT_TRUE(at::allclose(gradient, wanted, 1e-5, 1e-6)) << kind;
  }
}

// log E[e^{c mean(x_0)} | x_t] by the posterior of each element, and its gradient by differences.
TEST(AnalyticReward, TheSoftValueIsTheConditionalExpectation) {
  const Mixture m{{0.6, 0.4}, {-1.5, 1.0}, {0.5, 0.35}};
  const auto model = analytic({{"kind", "soft_linear"},
                               {"scale", 20.0},
                               {"weights", m.weights},
                               {"means", m.means},
                               {"stds", m.stds}},
                              kOfLatents);
  const auto exact = [&](const at::Tensor& x, const at::Tensor& sigma_B) {
    const auto posterior = mixture_posterior(mixture_law(m), x, sigma_B.view({-1, 1, 1, 1, 1}));
    const double c = 20.0 / 16.0;
    return at::logsumexp(posterior.log_weights + c * posterior.means + 0.5 * c * c * posterior.variances, -1)
        .flatten(1)
        .sum(1);
  };
  auto input = latents_input(elements(1).requires_grad_());
  input.sigmas_B = at::tensor({0.0, 0.25, 0.5, 0.75, 1.0}, at::kDouble);
  const auto values = differentiable_score(model, input, expect_no_failures);
  EXPECT_TRUE(at::allclose(values.squeeze(1).to(at::kDouble),
                           exact(elements(1).to(at::kDouble), input.sigmas_B), 1e-5, 1e-5));
  const auto gradient = torch::autograd::grad({values.sum()}, {input.latents_BCFHW})[0];
  auto y = elements(1).to(at::kDouble).requires_grad_();
  const auto wanted = torch::autograd::grad({exact(y, input.sigmas_B).sum()}, {y})[0];
  EXPECT_TRUE(at::allclose(gradient.to(at::kDouble), wanted, 1e-4, 1e-5));
}

TEST(AnalyticReward, GradientsAreAbsentOrHidden) {
  EXPECT_EQ(analytic(Json::object())->info().gradient_of, GradientOf::frames);
  EXPECT_EQ(analytic(Json::object(), kOfLatents)->info().gradient_of, GradientOf::latents);
  EXPECT_EQ(analytic({{"kind", "indicator"}})->info().gradient_of, GradientOf::none);
  EXPECT_EQ(analytic({{"kind", "linear"}, {"hide_gradient", true}})->info().gradient_of, GradientOf::none);
}

TEST(AnalyticReward, ASampleWithNanIsNotScored) {
  for (const char* kind : {"linear", "indicator", "quadratic"}) {
    auto x = elements(1);
    x[2][0][1][0][1] = std::nanf("");
    const auto values = analytic({{"kind", kind}}, kOfLatents)->score(latents_input(x)).values_BK.squeeze(1);
    EXPECT_TRUE(std::isnan(values[2].item<float>())) << kind;
    EXPECT_EQ(values.isnan().sum().item<int64_t>(), 1) << kind;
  }
}

TEST(AnalyticReward, RefusesAConfigurationAtItsPointer) {
  const auto refused_at = [](const Json& config) { return error_of([&] { analytic(config); }).place; };
  EXPECT_EQ(refused_at({{"kind", "cubic"}}), "/rewards/0/config/kind");
  EXPECT_EQ(refused_at({{"scale", "1"}}), "/rewards/0/config/scale");
  EXPECT_EQ(refused_at({{"scale", 1e9}}), "/rewards/0/config/scale");
  EXPECT_EQ(refused_at({{"hide_gradient", 1}}), "/rewards/0/config/hide_gradient");
  EXPECT_EQ(refused_at({{"kind", "quadratic"}, {"threshold", 1}}), "/rewards/0/config/threshold");
  EXPECT_EQ(refused_at({{"center", 1}}), "/rewards/0/config/center");
  EXPECT_EQ(refused_at({{"kinds", "linear"}}), "/rewards/0/config/kinds");
  EXPECT_EQ(refused_at({{"kind", "soft_linear"}}), "/rewards/0/config/kind");  // of frames
  const auto soft = [](const Json& weights, const Json& means, const Json& stds) {
    const Json config = {{"kind", "soft_linear"}, {"weights", weights}, {"means", means}, {"stds", stds}};
    return error_of([&] { analytic(config, kOfLatents); }).place;
  };
  EXPECT_EQ(soft({0.5, -0.5}, {0, 1}, {1, 1}), "/rewards/0/config/weights");
  EXPECT_EQ(soft({0.5, 0.5}, {0, 1, 2}, {1, 1}), "/rewards/0/config/weights");
  EXPECT_EQ(soft({0.5, 0.5}, {0, "1"}, {1, 1}), "/rewards/0/config/means");
  EXPECT_EQ(soft({0.5, 0.5}, {0, 1}, {1, 0}), "/rewards/0/config/stds");
  EXPECT_EQ(soft({0.5, 0.5}, {0, 1}, 3), "/rewards/0/config/stds");
}

}  // namespace
}  // namespace thalweg::testing
