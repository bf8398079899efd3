#include "engine/losses/dpo.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "tests/losses/finite_difference.h"

namespace thalweg {
namespace {

at::Tensor noise(std::vector<int64_t> sizes, double phase) {
  int64_t n = 1;
  for (const auto side : sizes) n *= side;
  return (at::arange(n, at::kDouble) * 1.7 + phase).sin().view(sizes);
}

at::Tensor none(int64_t n) {
  return at::zeros({n}, at::kDouble);
}

at::Tensor clear(int64_t n) {
  return at::zeros({n}, at::kBool);
}

double logistic(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

at::Tensor one(double value) {
  return at::full({1}, value, at::kDouble);
}

// A velocity W x of two pairs, its errors against random targets.
struct LinearPair {
  at::Tensor x_w = noise({2, 4}, 0.1), x_l = noise({2, 4}, 0.9), target_w = noise({2, 4}, 2.0),
             target_l = noise({2, 4}, 3.0), reference = noise({4, 4}, 0.5);
  static constexpr double kBeta = 7.0;

  static at::Tensor error(const at::Tensor& W, const at::Tensor& x, const at::Tensor& target) {
    return (x.matmul(W) - target).square().mean(1);
  }
  at::Tensor loss(const at::Tensor& W) const {
    const DpoErrors winner{error(W, x_w, target_w), error(reference, x_w, target_w)},
        loser{error(W, x_l, target_l), error(reference, x_l, target_l)};
    return dpo_loss(dpo_log_odds(winner, loser, kBeta), none(2), clear(2), 1.0).mean();
  }
};

// At the reference: loss log 2, and the gradient (beta/4) (grad e_w - grad e_l).
TEST(DpoLoss, StartsAtLogTwo) {
  const LinearPair pair;
  const auto W = pair.reference.clone().requires_grad_();
  const auto loss = pair.loss(W);
  EXPECT_NEAR(loss.item<double>(), std::log(2.0), 1e-12);
  const auto gradient = torch::autograd::grad({loss}, {W})[0];
  const auto of_errors = torch::autograd::grad(
      {(LinearPair::error(W, pair.x_w, pair.target_w) - LinearPair::error(W, pair.x_l, pair.target_l))
           .mean()},
      {W})[0];
  EXPECT_GT(gradient.norm().item<double>(), 0.1);
  EXPECT_TRUE(at::allclose(gradient, LinearPair::kBeta / 4.0 * of_errors, 1e-12, 1e-12));
  EXPECT_TRUE(
      at::allclose(gradient, finite_difference([&](const auto& w) { return pair.loss(w); }, W), 1e-6, 1e-8));
}

TEST(DpoLoss, GradientAwayFromTheReference) {
  const LinearPair pair;
  const auto W = noise({4, 4}, 1.3).requires_grad_();
  const auto gradient = torch::autograd::grad({pair.loss(W)}, {W})[0];
  EXPECT_TRUE(
      at::allclose(gradient, finite_difference([&](const auto& w) { return pair.loss(w); }, W), 1e-6, 1e-8));
}

TEST(DpoLoss, ReferenceIsAConstant) {
  const auto policy = one(1.0).requires_grad_(), reference = one(2.0).requires_grad_();
  const auto z = dpo_log_odds({policy, reference}, {one(1.0), one(1.5)}, 2.0);
  EXPECT_NEAR(z.item<double>(), -1.0 * ((1.0 - 2.0) - (1.0 - 1.5)), 1e-15);
  const auto g = torch::autograd::grad({z}, {policy, reference}, {}, std::nullopt, false, true);
  EXPECT_NEAR(g[0].item<double>(), -1.0, 1e-15);
  EXPECT_FALSE(g[1].defined());
}

// Six states, preferences by Bradley and Terry of a reward, log-probabilities in place of errors: gradient
// descent on the exact expectation ends at p_ref exp(r / beta) / Z.
TEST(DpoLoss, OptimumIsTheTiltedReference) {
  constexpr int64_t n = 6;
  constexpr double beta = 0.5;
  const auto p_ref = noise({n}, 0.3).softmax(0), r = 0.5 * noise({n}, 2.2);
  const auto optimum = (p_ref.log() + r / beta).softmax(0);
  std::vector<int64_t> first, second;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      if (i != j) {
        first.push_back(i);
        second.push_back(j);
      }
  const auto w = at::tensor(first, at::kLong), l = at::tensor(second, at::kLong);
  const auto likely = (r.index_select(0, w) - r.index_select(0, l)).sigmoid() / static_cast<double>(n);
  const auto expectation = [&](const at::Tensor& logits) {
    // An error of -2 log p makes (beta/2) of it beta log p.
    const auto e = -2.0 * logits.log_softmax(0), e_ref = -2.0 * p_ref.log();
    const auto of = [&](const at::Tensor& rows) {
      return DpoErrors{e.index_select(0, rows), e_ref.index_select(0, rows)};
    };
    const auto count = static_cast<int64_t>(first.size());
    return (likely * dpo_loss(dpo_log_odds(of(w), of(l), beta), none(count), clear(count), 1.0)).sum();
  };
  auto logits = p_ref.log();
  for (int step = 0; step < 400; ++step) {
    const auto x = logits.detach().requires_grad_();
    logits = logits - 8.0 * torch::autograd::grad({expectation(x)}, {x})[0];
  }
  EXPECT_GT((optimum - p_ref).abs().max().item<double>(), 0.05);
  EXPECT_TRUE(at::allclose(logits.softmax(0), optimum, 0.0, 1e-6));
}

TEST(DpoLoss, AMarginAsksForMore) {
  for (const double z : {-2.0, 0.0, 0.7}) {
    const auto loss = dpo_loss(one(z), one(0.4), clear(1), 1.0);
    EXPECT_NEAR(loss.item<double>(), -std::log(logistic(z - 0.4)), 1e-12);
  }
}

TEST(DpoLoss, TiesAreThoseOfRaoAndKupper) {
  for (const double theta : {1.5, 5.0})
    for (const double z : {-1.3, 0.0, 2.0}) {
      const auto loss = [&](double of_z, bool tie) {
        return dpo_loss(one(of_z), none(1), at::full({1}, tie, at::kBool), theta).item<double>();
      };
      EXPECT_NEAR(std::exp(-loss(z, false)) + std::exp(-loss(-z, false)) + std::exp(-loss(z, true)), 1.0,
                  1e-12);
      EXPECT_NEAR(loss(z, true), loss(-z, true), 1e-12);
    }
  // A tie pulls to 0, where its own gradient is.
  const auto z = one(0.0).requires_grad_();
  const auto tie = at::ones({1}, at::kBool);
  EXPECT_NEAR(torch::autograd::grad({dpo_loss(z, none(1), tie, 3.0)}, {z})[0].item<double>(), 0.0, 1e-15);
  EXPECT_GT(dpo_loss(one(1.0), none(1), tie, 3.0).item<double>(),
            dpo_loss(one(0.0), none(1), tie, 3.0).item<double>());
}

// What is no tie has finite gradients even where ties cannot be.
TEST(DpoLoss, WithoutTiesIsBradleyAndTerry) {
  const auto z = at::tensor({-40.0, 0.3, 40.0}, at::kDouble).requires_grad_();
  const auto loss = dpo_loss(z, none(3), clear(3), 1.0);
  EXPECT_TRUE(at::allclose(loss.detach(), at::softplus(-z.detach()), 1e-12, 1e-12));
  const auto gradient = torch::autograd::grad({loss.sum()}, {z})[0];
  EXPECT_TRUE(at::allclose(gradient, -(-z.detach()).sigmoid(), 1e-12, 1e-12));
  EXPECT_TRUE(std::isinf(dpo_loss(one(0.0), none(1), at::ones({1}, at::kBool), 1.0).item<double>()));
}

}  // namespace
}  // namespace thalweg
