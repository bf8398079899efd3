#include "engine/advantages/gradient_weights.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/advantages/tables.h"

namespace thalweg {
namespace {

const std::vector<double> kUniform(3, 1.0 / 3);

// g = (1,0), (0,1), (-1,0.2), their sum (0,1.2).
TEST(GradientWeights, FollowTheInfluence) {
  const auto g = at::tensor({1.0, 0.0, 0.0, 1.0, -1.0, 0.2}, at::kDouble).view({3, 2});
  const auto influence = gradient_influence(at::mm(g, g.t()));
  expect_near(influence, {0.0, 1.2, 0.24});
  expect_near(influenced_weights(kUniform, influence, 0.5, 0.0), {0.2532, 0.4613, 0.2855}, 5e-5);
}

TEST(GradientWeights, OfOrthonormalGradientsStayAsTheyAre) {
  const auto influence = gradient_influence(at::eye(3, at::kDouble));
  expect_near(influenced_weights({0.5, 0.3, 0.2}, influence, 0.7, 0.0), {0.5, 0.3, 0.2});
  expect_near(influenced_weights({1.0}, {123.0}, 0.7, 0.0), {1.0});
}

TEST(GradientWeights, KeepTheFloorAndTheSum) {
  const auto w = influenced_weights(kUniform, {0.0, 50.0, 1.0}, 1.0, 0.1);
  expect_near(w, {0.1, 0.8, 0.1});
  const auto huge = influenced_weights(kUniform, {-1e6, 1e6, 0.0}, 1e3, 0.0);  // no overflow
  expect_near(huge, {0.0, 1.0, 0.0});
  // What was above the floor pays in proportion: .6 and .38 above .1 are .5 and .28; the third lacks .08.
  const auto paid = influenced_weights({0.6, 0.38, 0.02}, {0.0, 0.0, 0.0}, 1.0, 0.1);
  expect_near(paid, {0.6 - 0.08 * 0.5 / 0.78, 0.38 - 0.08 * 0.28 / 0.78, 0.1});
  EXPECT_THROW(influenced_weights(kUniform, {0.0, 1.0}, 1.0, 0.0), c10::Error);
  EXPECT_THROW(influenced_weights(kUniform, {0.0, 1.0, 1.0}, 1.0, 0.5), c10::Error);
}

}  // namespace
}  // namespace thalweg
