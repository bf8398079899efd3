#include "engine/losses/dppo.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

namespace thalweg {
namespace {

constexpr double kThreshold = 1e-3;

at::Tensor one(double value) {
  return at::full({1}, value, at::kDouble);
}

struct Case {
  double ratio, advantage, divergence;
  bool dropped;
};

// Dropped iff the policies are apart and the term would drive them further apart.
TEST(Dppo, TruthTable) {
  constexpr double kFar = 2e-3, kNear = 5e-4;
  for (const Case& c :
       {Case{1.5, 1.0, kFar, true},    // likelier, and made likelier still
        Case{0.5, -1.0, kFar, true},   // less likely, and less likely still
        Case{1.5, -1.0, kFar, false},  // pulled back
        Case{0.5, 1.0, kFar, false},   // pulled back
        Case{1.5, 1.0, kNear, false},  // within the trust region, whatever the ratio
        Case{0.5, -1.0, kNear, false}, Case{1.5, -1.0, kNear, false}, Case{0.5, 1.0, kNear, false},
        Case{1.5, 1.0, kThreshold, true},                                // the bound is outside
        Case{0.5, -1.0, kThreshold, true}, Case{1.0, 1.0, kFar, false},  // neither likelier nor less likely
        Case{1.0, -1.0, kFar, false}, Case{1.5, 0.0, kFar, false}, Case{0.5, 0.0, kFar, false}}) {
    SCOPED_TRACE("ratio " + std::to_string(c.ratio) + ", A " + std::to_string(c.advantage) + ", divergence " +
                 std::to_string(c.divergence));
    const auto log_prob = one(std::log(c.ratio)).requires_grad_();
    const auto [loss, ratio, dropped] =
        dppo_loss(log_prob, one(0.0), one(c.divergence), one(c.advantage), kThreshold);
    EXPECT_EQ(dropped.item<bool>(), c.dropped);
    const double expected = c.dropped ? 0.0 : -c.advantage * c.ratio;
    EXPECT_NEAR(loss.item<double>(), expected, 1e-12);
    EXPECT_NEAR(torch::autograd::grad({loss.sum()}, {log_prob})[0].item<double>(), expected, 1e-12);
    EXPECT_FALSE(ratio.requires_grad());
  }
}

TEST(Dppo, OnlyTheLogProbIsTrained) {
  const auto log_prob = one(0.1).requires_grad_(), old = one(0.0).requires_grad_(),
             divergence = one(0.0).requires_grad_(), a = one(1.0).requires_grad_();
  const auto loss = dppo_loss(log_prob, old, divergence, a, kThreshold).loss_B.sum();
  const auto gradients =
      torch::autograd::grad({loss}, {log_prob, old, divergence, a}, {}, std::nullopt, false, true);
  EXPECT_TRUE(gradients[0].defined());
  for (size_t i = 1; i < gradients.size(); ++i) EXPECT_FALSE(gradients[i].defined()) << i;
}

}  // namespace
}  // namespace thalweg
