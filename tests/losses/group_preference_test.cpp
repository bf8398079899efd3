#include "engine/losses/group_preference.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace thalweg {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

// Rows of two groups, mixed; the last one was not scored. By hand with beta 10: group 0 has the mean of -2
// and -2, group 1 that of 2 and 3.
struct HandExample {
  const at::Tensor l = at::tensor({0.2, 0.6, 0.5, 0.1, kNan}, at::kDouble).unsqueeze(0);
  const at::Tensor l_ref = at::tensor({0.4, 0.5, 0.3, 0.4, 0.0}, at::kDouble).unsqueeze(0);
  const at::Tensor A = at::tensor({1.0, 2.0, -1.0, -1.0, 0.0}, at::kDouble);
  const at::Tensor group = at::tensor({0, 1, 0, 1, 0}, at::kLong);
  const at::Tensor used = at::tensor({1, 1, 1, 1, 0}, at::kLong).to(at::kBool);
};

TEST(DgpoGroupWeight, IsTheHandExample) {
  const HandExample x;
  const auto w = dgpo_group_weight(x.l, x.l_ref, x.A, x.group, x.used, 10.0);
  ASSERT_EQ(w.sizes(), at::IntArrayRef({1, 5}));
  const std::vector<double> expected = {sigmoid(-2.0), sigmoid(2.5), sigmoid(-2.0), sigmoid(2.5)};
  for (size_t b = 0; b < expected.size(); ++b)
    EXPECT_NEAR(w[0][static_cast<int64_t>(b)].item<double>(), expected[b], 1e-14) << b;
}

TEST(DgpoGroupWeight, EveryNoisingHasItsOwn) {
  const HandExample x;
  const auto w =
      dgpo_group_weight(at::cat({x.l, x.l_ref}), at::cat({x.l_ref, x.l_ref}), x.A, x.group, x.used, 10.0);
  EXPECT_NEAR(w[0][0].item<double>(), sigmoid(-2.0), 1e-14);
  EXPECT_EQ(w[1][0].item<double>(), 0.5);  // the policy is the reference
}

TEST(DgpoGroupWeight, WithoutBetaOrSamplesIsAHalf) {
  const HandExample x;
  const auto halves = at::full({1, 5}, 0.5, at::kDouble);
  EXPECT_TRUE(at::equal(dgpo_group_weight(x.l, x.l_ref, x.A, x.group, x.used, 0.0), halves));
  EXPECT_TRUE(at::equal(dgpo_group_weight(x.l, x.l_ref, x.A, x.group, at::zeros_like(x.used), 10.0), halves));
}

TEST(DgpoGroupWeight, IsAConstantAndNeverOverflows) {
  const HandExample x;
  const auto l = at::full({1, 5}, 0.3, at::kDouble).requires_grad_();
  EXPECT_FALSE(dgpo_group_weight(l, x.l_ref, x.A, x.group, x.used, 10.0).requires_grad());
  const auto w = dgpo_group_weight(x.l, x.l_ref, x.A, x.group, x.used, 1e6).slice(1, 0, 4);
  EXPECT_TRUE(at::allclose(w, at::tensor({0.0, 1.0, 0.0, 1.0}, at::kDouble).unsqueeze(0), 0.0, 1e-12));
}

struct Row {
  double A, value;
  bool expected;
};

// c = 0.1; value is l_old - l, so that rho is its exponential: 1.22, 1.05, 0.95 or 0.82.
TEST(DgpoClipped, IsItsTruthTable) {
  for (const Row& row :
       {Row{1.0, 0.2, true}, Row{1.0, 0.05, false}, Row{1.0, -0.05, false}, Row{1.0, -0.2, false},
        Row{-1.0, 0.2, false}, Row{-1.0, 0.05, false}, Row{-1.0, -0.05, false}, Row{-1.0, -0.2, true},
        Row{0.0, 0.2, false}, Row{0.0, -0.2, false}}) {
    const auto l = at::full({1}, 0.7, at::kDouble);
    const auto clipped = dgpo_clipped(l, l + row.value, at::full({1}, row.A, at::kDouble), 0.1);
    EXPECT_EQ(clipped.item<bool>(), row.expected) << row.A << " " << row.value;
  }
}

// Limit 0.5; value is l_base - l: above 0 the policy matches the sample better than the base does.
TEST(DgpoTooFar, IsItsTruthTable) {
  for (const double distance : {0.6, 0.5, 0.4})
    for (const Row& row :
         {Row{1.0, 0.2, true}, Row{1.0, 0.0, false}, Row{1.0, -0.2, false}, Row{-1.0, 0.2, false},
          Row{-1.0, 0.0, false}, Row{-1.0, -0.2, true}, Row{0.0, 0.2, false}, Row{0.0, -0.2, false}}) {
      const auto l = at::full({1}, 0.7, at::kDouble);
      const auto far = dgpo_too_far(l, l + row.value, at::full({1}, distance, at::kDouble),
                                    at::full({1}, row.A, at::kDouble), 0.5);
      EXPECT_EQ(far.item<bool>(), row.expected && distance > 0.5)
          << row.A << " " << row.value << " " << distance;
    }
}

}  // namespace
}  // namespace thalweg
