#include "engine/losses/nft.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/losses/finite_difference.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

at::Tensor gradient(const at::Tensor& loss, const at::Tensor& of) {
  return torch::autograd::grad({loss}, {of})[0];
}

class NftLoss : public ::testing::Test {
 protected:
  const at::Tensor x0_ = random_latents(1, at::kDouble), e_ = random_latents(2, at::kDouble);
  const at::Tensor sigma_B_ = at::tensor({0.1, 0.45, 0.8, 1.0}, at::kDouble);
  const at::Tensor sigma_ = sigma_B_.view({-1, 1, 1, 1, 1});
  const at::Tensor x_t_ = x0_ * (1.0 - sigma_) + e_ * sigma_;
  const at::Tensor v_ = random_latents(3, at::kDouble), v_old_ = random_latents(4, at::kDouble);
  const at::Tensor r_B_ = at::tensor({0.0, 0.3, 0.5, 1.0}, at::kDouble);
};

TEST_F(NftLoss, IsItsFormulaSampleBySample) {
  const double beta = 0.4, scale = 5.0;
  const auto loss = nft_loss(v_, v_old_, x_t_, x0_, sigma_B_, r_B_, beta, scale);
  ASSERT_EQ(loss.sizes(), at::IntArrayRef({4}));
  for (int64_t b = 0; b < 4; ++b) {
    const double r = r_B_[b].item<double>(), s = sigma_B_[b].item<double>();
    const auto branch = [&](const at::Tensor& v) {
      const auto error = x_t_[b] - v * s - x0_[b];
      return error.square().mean().item<double>() / error.abs().mean().item<double>();
    };
    const double positive = branch(v_[b] * beta + v_old_[b] * (1.0 - beta));
    const double negative = branch(v_old_[b] * (1.0 + beta) - v_[b] * beta);
    EXPECT_NEAR(loss[b].item<double>(), scale * (r * positive + (1.0 - r) * negative) / beta, 1e-11) << b;
  }
}

// The per-sample weights carry no gradient, so differences are taken with the weights of the starting point.
TEST_F(NftLoss, GradientAgreesWithDifferences) {
  for (const double beta : {1.0, 0.3}) {
    const auto branch = [&](const at::Tensor& v, const at::Tensor& start, bool positive) {
      const auto error_of = [&](const at::Tensor& u) {
        const auto mixed = positive ? u * beta + v_old_ * (1.0 - beta) : v_old_ * (1.0 + beta) - u * beta;
        return (x_t_ - sigma_ * mixed - x0_).flatten(1);
      };
      return error_of(v).square().mean(1) / error_of(start).abs().mean(1);
    };
    const auto frozen = [&](const at::Tensor& v) {
      return ((r_B_ * branch(v, v_, true) + (1.0 - r_B_) * branch(v, v_, false)) * (5.0 / beta)).sum();
    };
    const auto v = v_.clone().requires_grad_();
    const auto exact = gradient(nft_loss(v, v_old_, x_t_, x0_, sigma_B_, r_B_, beta, 5.0).sum(), v);
    EXPECT_TRUE(at::allclose(exact, finite_difference(frozen, v_), 1e-5, 1e-7));
    EXPECT_GT(exact.abs().max().item<double>(), 1e-3);
  }
}

// At v = v_old and beta = 1 the first step is a weighted flow-matching step: towards x0 for r > 1/2, away for
// r < 1/2.
TEST_F(NftLoss, StartsAsWeightedFlowMatching) {
  const double scale = 5.0;
  const auto v = v_old_.clone().requires_grad_();
  const auto nft = gradient(nft_loss(v, v_old_, x_t_, x0_, sigma_B_, r_B_, 1.0, scale).sum(), v);
  const auto u = v_old_.clone().requires_grad_();
  const auto weight = (sigma_ * (v_old_ - (e_ - x0_))).abs().flatten(1).mean(1);
  const auto flow_matching = sigma_B_.square() * (u - (e_ - x0_)).square().flatten(1).mean(1) / weight;
  const auto matched = gradient((flow_matching * (2.0 * r_B_ - 1.0) * scale).sum(), u);
  EXPECT_TRUE(at::allclose(nft, matched, 1e-10, 1e-14)) << (nft - matched).abs().max().item<double>();
  EXPECT_LT(nft[2].abs().max().item<double>(), 1e-14);  // r = 1/2 says nothing
  EXPECT_GT(nft[0].abs().max().item<double>(), 1e-3);
}

TEST_F(NftLoss, OldVelocityIsAConstant) {
  const auto v = v_.clone().requires_grad_(), old = v_old_.clone().requires_grad_();
  const auto loss = nft_loss(v, old, x_t_, x0_, sigma_B_, r_B_, 0.5, 5.0).sum();
  const auto gradients = torch::autograd::grad({loss}, {v, old}, {}, std::nullopt, false, true);
  EXPECT_TRUE(gradients[0].defined());
  EXPECT_FALSE(gradients[1].defined());
}

TEST_F(NftLoss, FloorsTheWeightOfAPerfectPrediction) {
  const auto v = (e_ - x0_).requires_grad_();
  const auto loss = nft_loss(v, v.detach(), x_t_, x0_, sigma_B_, r_B_, 1.0, 5.0);
  EXPECT_LT(loss.abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(gradient(loss.sum(), v).isfinite().all().item<bool>());
}

// At one x_t, pictures with targets u and optimality r have the minimum v_old + (2/b) alpha (v+ - v_old),
// alpha = E r, v+ = E[r u] / alpha, where v_old = E u and all weights are alike. One element is free; the
// errors of the others are so large that they alone make the weights.
TEST(NftOptimum, IsTheOldVelocityMovedTowardsTheGood) {
  constexpr int64_t kSamples = 5, kElements = 64;
  const auto u = at::tensor({-1.3, 0.4, 0.9, -0.2, 1.1}, at::kDouble);
  const auto r = at::tensor({0.1, 0.8, 0.5, 1.0, 0.3}, at::kDouble);
  const auto sigma = at::full({kSamples}, 0.6, at::kDouble);
  const auto x_t = at::zeros({kSamples, 1, 1, 1, kElements}, at::kDouble);
  auto targets = at::full_like(x_t, 1e5);
  targets.select(4, 0).view(-1).copy_(u);
  const auto x0 = x_t - 0.6 * targets;
  const auto velocity = [&](const at::Tensor& free) {
    return at::cat(
        {free.expand({kSamples, 1, 1, 1, 1}), at::zeros({kSamples, 1, 1, 1, kElements - 1}, at::kDouble)}, 4);
  };
  const double old = u.mean().item<double>(), alpha = r.mean().item<double>();
  const double good = (r * u).mean().item<double>() / alpha;
  for (const double b : {0.1, 1.0}) {
    const auto slope = [&](double at) {
      const auto free = at::full({1}, at, at::kDouble).requires_grad_();
      const auto loss =
          nft_loss(velocity(free), velocity(at::full({1}, old, at::kDouble)), x_t, x0, sigma, r, b, 5.0);
      return gradient(loss.sum(), free).item<double>();
    };
    const double zero = slope(0.0), one = slope(1.0);  // the loss is a parabola of the free element
    EXPECT_GT(one, zero);
    EXPECT_NEAR(zero / (zero - one), old + 2.0 / b * alpha * (good - old), 1e-3) << b;
  }
}

TEST(NftMode, SaysWhatTeaches) {
  const auto A = at::tensor({-3.0, -0.5, 0.0, 0.5, 3.0}, at::kDouble);
  const auto is = [&](NftMode mode, std::vector<double> expected) {
    return at::equal(nft_advantage(A, mode), at::tensor(expected, at::kDouble));
  };
  EXPECT_TRUE(is(NftMode::all, {-3.0, -0.5, 0.0, 0.5, 3.0}));
  EXPECT_TRUE(is(NftMode::positive_only, {0.0, 0.0, 0.0, 0.5, 3.0}));
  EXPECT_TRUE(is(NftMode::negative_only, {-3.0, -0.5, 0.0, 0.0, 0.0}));
  EXPECT_TRUE(is(NftMode::one_only, {0.0, 0.0, 0.0, 1.0, 1.0}));
  EXPECT_TRUE(is(NftMode::binary, {-1.0, -1.0, 0.0, 1.0, 1.0}));
}

TEST(NftOptimality, MapsAdvantagesToProbabilities) {
  const auto r = nft_optimality(at::tensor({-9.0, -5.0, -2.5, 0.0, 2.5, 5.0, 9.0}, at::kDouble), 5.0);
  EXPECT_TRUE(at::allclose(r, at::tensor({0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0}, at::kDouble), 0.0, 1e-15));
}

TEST(VelocityKl, IsTheMeanSquareWithAConstantReference) {
  const auto start = random_latents(1, at::kDouble),
             reference = random_latents(2, at::kDouble).requires_grad_();
  const auto v = start.clone().requires_grad_();
  const auto kl = velocity_kl(v, reference);
  const double elements = static_cast<double>(start[0].numel());
  EXPECT_NEAR(kl[1].item<double>(), (start - reference)[1].square().sum().item<double>() / elements, 1e-13);
  const auto gradients = torch::autograd::grad({kl.sum()}, {v, reference}, {}, std::nullopt, false, true);
  EXPECT_FALSE(gradients[1].defined());
  const auto f = [&](const at::Tensor& u) { return velocity_kl(u, reference).sum(); };
  EXPECT_TRUE(at::allclose(gradients[0], finite_difference(f, start), 1e-6, 1e-9));
}

}  // namespace
}  // namespace thalweg
