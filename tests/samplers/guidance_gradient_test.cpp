// Gradients of the guidances against finite differences.

#include <cmath>

#include "tests/samplers/guidance_laws.h"

namespace thalweg {
namespace {

using namespace guidance_laws;

// Slope of value(x) along a direction, sample by sample.
at::Tensor slope(const std::function<at::Tensor(const at::Tensor&)>& value, const at::Tensor& x,
                 const at::Tensor& direction) {
  const double h = 1e-5;
  return (value(x + direction * h) - value(x - direction * h)) / (2.0 * h);
}

TEST_F(Guidances, TheChangeIsTheCoefficientTimesTheGradient) {
  const auto& x = in_.x_BCFHW;
  const auto& c = in_.conditioning;
  const auto direction = random_latents(31, at::kDouble);
  const auto along = [&](const Guidance& guidance) {
    return ((v_ - at_x(guidance)) * direction).flatten(1).sum(1) * ((1.0 - t_) / t_ / 3.0);
  };
  const TiltOptions three{3.0};
  const auto noisy = slope([&](const at::Tensor& y) { return wave(y, step_, c); }, x, direction);
  EXPECT_TRUE(at::allclose(along(flow_nrg(wave, three)), noisy, 1e-6, 1e-7));
  const auto through_network = slope(
      [&](const at::Tensor& y) {
        return wave(clean_estimate(y, analytic_velocity(y, step_, c), step_), clean_step(step_), c);
      },
      x, direction);
  EXPECT_TRUE(at::allclose(along(dps(wave, three)), through_network, 1e-6, 1e-7));
  const double jacobian = (1.0 - t_) / ((1.0 - t_) * (1.0 - t_) + t_ * t_);
  const auto at_x0 = slope([&](const at::Tensor& y) { return wave(y, clean_step(step_), c); },
                           clean_estimate(x, v_, step_), direction);
  EXPECT_TRUE(at::allclose(along(mpgd(wave, three)), at_x0 * jacobian, 1e-6, 1e-7));
  EXPECT_FALSE(at::allclose(through_network, at_x0 * jacobian, 0.1, 0.0))
      << "the test cannot tell them apart";
}

TEST_F(Guidances, StackedTheyAddUp) {
  // Of linear rewards the second gradient does not see the first one's pull: the sum is exact.
  const auto a = random_latents(41, at::kDouble), b = random_latents(42, at::kDouble);
  const auto linear = [&](const at::Tensor& w) -> RewardValue {
    return [w](const at::Tensor& x, const Step&, const Conditioning&) { return (x * w).flatten(1).sum(1); };
  };
  const auto& x = in_.x_BCFHW;
  const auto stacked =
      dps(linear(b), {2.0})(dps(linear(a), {})(analytic_velocity))(x, step_, in_.conditioning);
  EXPECT_TRUE(at::allclose(stacked, at_x(dps(linear(a + 2.0 * b), {})), 0.0, 1e-12));
  EXPECT_FALSE(at::allclose(stacked, at_x(dps(linear(b), {2.0})), 0.0, 1e-3));
}

TEST_F(Guidances, AnOuterGuidanceDifferentiatesThroughTheNetworkInside) {
  const auto& x = in_.x_BCFHW;
  const auto& c = in_.conditioning;
  const auto direction = random_latents(31, at::kDouble);
  for (const auto& [name, inner] : all_guidances(wave, 0.7)) {
    const auto v_inner = at_x(inner);
    const auto v_both = dps(wave, {})(inner(analytic_velocity))(x, step_, c);
    const auto outer = ((v_inner - v_both) * direction).flatten(1).sum(1) * ((1.0 - t_) / t_);
    // The inner pull is a constant to the outer one.
    const auto pull = v_inner - v_;
    const auto expected = slope(
        [&](const at::Tensor& y) {
          return wave(clean_estimate(y, analytic_velocity(y, step_, c) + pull, step_), clean_step(step_), c);
        },
        x, direction);
    EXPECT_TRUE(at::allclose(outer, expected, 1e-6, 1e-7)) << name;
  }
}

TEST_F(Guidances, SpsaIsUnbiasedForALinearReward) {
  const auto w = random_latents(51, at::kDouble);
  const RewardValue linear = [&](const at::Tensor& x, const Step&, const Conditioning&) {
    const auto weights = w.repeat({x.size(0) / 4, 1, 1, 1, 1});
    return (x * weights).flatten(1).sum(1);
  };
  const auto off = [&](int64_t probes, double radius) {
    const auto g = spsa_slope(linear, in_.x_BCFHW, step_, in_.conditioning, {probes, radius}, 5);
    return (g - w).square().mean().sqrt().item<double>() / w.square().mean().sqrt().item<double>();
  };
  // The error of the mean of u u^T w falls as sqrt(elements / probes); elements: 18.
  EXPECT_NEAR(off(4000, 0.01), std::sqrt(19.0 / 4000.0), 0.02);
  EXPECT_NEAR(off(4000, 5.0), off(4000, 0.01), 1e-9)
      << "the radius does not matter where there is no curvature";
  EXPECT_GT(off(1, 0.01), 1.0);
}

TEST_F(Guidances, SpsaLeavesOutProbesThatAreNotScored) {
  int64_t call = 0;
  const RewardValue first_side_fails = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto r = wave(x, step, c);
    if (call++ % 2 == 0) r.slice(0, 0, 4).fill_(kNaN);
    return r;
  };
  const auto half = spsa_slope(first_side_fails, in_.x_BCFHW, step_, in_.conditioning, {2, 0.01}, 5);
  const auto two = spsa_slope(wave, in_.x_BCFHW, step_, in_.conditioning, {2, 0.01}, 5);
  EXPECT_TRUE(half.isfinite().all().item<bool>());
  EXPECT_FALSE(at::allclose(half, two, 1e-3));
}

}  // namespace
}  // namespace thalweg
