#include "engine/optim/gradients.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

at::Tensor noise(uint64_t seed, at::IntArrayRef shape) {
  return normal_noise(seed, Purpose::data, {0}, 0, shape)[0];
}

TEST(GradientsOf, NamesThoseThatTheLossReaches) {
  const auto parameters = leaves({{"a", noise(1, {3})}, {"b", noise(2, {3})}, {"unused", noise(3, {2})}});
  const auto loss = (parameters.at("a") * parameters.at("b") * parameters.at("b")).sum();
  const auto gradients = gradients_of(loss, parameters);
  ASSERT_EQ(gradients.size(), 2u);
  EXPECT_TRUE(at::allclose(gradients.at("a"), noise(2, {3}).square()));
  EXPECT_TRUE(at::allclose(gradients.at("b"), noise(1, {3}) * noise(2, {3}) * 2.0));
  for (const auto& [name, gradient] : gradients) EXPECT_FALSE(gradient.requires_grad()) << name;
}

// The backward of a sum hands one expanded zero-stride tensor to both: in-place work needs memory of one's
// own.
TEST(GradientsOf, GivesEachItsOwnMemory) {
  const auto parameters = leaves({{"a", noise(1, {2, 3})}, {"b", noise(2, {2, 3})}});
  auto gradients = gradients_of((parameters.at("a") + parameters.at("b")).sum(), parameters);
  for (const auto& [name, gradient] : gradients) EXPECT_TRUE(gradient.is_contiguous()) << name;
  EXPECT_NE(gradients.at("a").const_data_ptr(), gradients.at("b").const_data_ptr());
  EXPECT_NEAR(clip_gradients(gradients, 1.0), std::sqrt(12.0), 1e-6);
  const double expected = 1.0 / std::sqrt(12.0);
  for (const auto& [name, gradient] : gradients)
    EXPECT_TRUE(at::allclose(gradient, at::full({2, 3}, expected), 1e-5)) << name;
  auto sum = gradients_of((parameters.at("a") + parameters.at("b")).sum(), parameters);
  accumulate(sum, gradients_of((parameters.at("a") + parameters.at("b")).sum(), parameters));
  for (const auto& [name, gradient] : sum) EXPECT_TRUE(at::equal(gradient, at::full({2, 3}, 2.0))) << name;
}

// The graph is kept for the losses that follow, and one that is not defined costs nothing.
TEST(GradientsOf, SeveralLossesOfOneGraph) {
  const auto parameters = leaves({{"a", noise(1, {3})}, {"b", noise(2, {3})}});
  const auto loss = [&](double c) {
    return ((parameters.at("a") * parameters.at("b")).exp() * c + parameters.at("b")).sum();
  };
  for (const bool only_one : {false, true}) {
    const auto shared = (parameters.at("a") * parameters.at("b")).exp();
    const auto of = [&](double c) { return (shared * c + parameters.at("b")).sum(); };
    const auto losses = only_one ? std::vector<at::Tensor>{at::Tensor(), of(2.0), at::Tensor()}
                                 : std::vector<at::Tensor>{of(2.0), at::Tensor(), of(3.0)};
    const auto gradients = gradients_of(losses, parameters);
    ASSERT_EQ(gradients.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      if (!losses[i].defined()) {
        EXPECT_TRUE(gradients[i].empty());
        continue;
      }
      for (const auto& [name, expected] : gradients_of(loss(i == 2 ? 3.0 : 2.0), parameters))
        EXPECT_TRUE(at::equal(gradients[i].at(name), expected)) << i << name;
    }
  }
}

TEST(InnerProducts, AreOverAllParameters) {
  const TensorMap x = {{"a", at::full({2}, 3.0)}, {"b", at::full({1}, 2.0)}},
                  y = {{"a", at::full({2}, -1.0)}}, none = {};
  const auto gram = inner_products({x, y, none});
  EXPECT_TRUE(at::equal(
      gram, at::tensor({22.0, -6.0, 0.0, -6.0, 2.0, 0.0, 0.0, 0.0, 0.0}, at::kDouble).view({3, 3})));
  EXPECT_TRUE(at::equal(inner_products({none}), at::zeros({1, 1}, at::kDouble)));
}

TEST(Combined, WeighsGradientsAndLeavesOutZeros) {
  const auto gradients = [] {
    return std::vector<TensorMap>{{{"a", at::full({2}, 3.0)}, {"b", at::full({1}, 2.0)}},
                                  {{"a", at::full({2}, std::nan(""))}},
                                  {{"a", at::full({2}, 1.0)}}};
  };
  const auto sum = combined(gradients(), {0.5, 0.0, -2.0});
  ASSERT_EQ(sum.size(), 2u);
  EXPECT_TRUE(at::equal(sum.at("a"), at::full({2}, -0.5)));
  EXPECT_TRUE(at::equal(sum.at("b"), at::full({1}, 1.0)));
  EXPECT_TRUE(combined(gradients(), {0.0, 0.0, 0.0}).empty());
  EXPECT_THROW(combined(gradients(), {1.0}), c10::Error);
}

TEST(Leaves, ShareTheStorage) {
  const TensorMap parameters = {{"a", noise(1, {3})}};
  auto policy = leaves(parameters);
  EXPECT_TRUE(policy.at("a").requires_grad());
  EXPECT_TRUE(policy.at("a").is_leaf());
  policy.at("a").detach().add_(1.0);
  EXPECT_TRUE(at::equal(parameters.at("a"), noise(1, {3}) + 1.0));
}

TEST(Accumulate, AddsNameByName) {
  TensorMap sum;
  accumulate(sum, {{"a", at::full({2}, 1.0)}});
  accumulate(sum, {{"a", at::full({2}, 2.0)}, {"b", at::full({1}, 5.0)}});
  accumulate(sum, {});
  ASSERT_EQ(sum.size(), 2u);
  EXPECT_TRUE(at::equal(sum.at("a"), at::full({2}, 3.0)));
  EXPECT_TRUE(at::equal(sum.at("b"), at::full({1}, 5.0)));
}

TEST(ClipGradients, ScalesTheGlobalNorm) {
  TensorMap gradients = {{"a", at::full({1}, 3.0)}, {"b", at::full({1, 1}, 4.0)}};
  EXPECT_NEAR(clip_gradients(gradients, 10.0), 5.0, 1e-12);
  EXPECT_EQ(gradients.at("a").item<double>(), 3.0);  // below the limit nothing changes
  EXPECT_NEAR(clip_gradients(gradients, 1.0), 5.0, 1e-12);
  EXPECT_NEAR(gradients.at("a").item<double>(), 0.6, 1e-6);
  EXPECT_NEAR(gradients.at("b").item<double>(), 0.8, 1e-6);
  TensorMap none;
  EXPECT_EQ(clip_gradients(none, 1.0), 0.0);
}

// By value first: (3, -4, .5) is cut to (1, -1, .5), whose norm is 1.5.
TEST(ClipGradients, CutsElementsBeforeTheNorm) {
  const auto start = [] {
    return TensorMap{{"a", at::tensor({3.0, 0.5}, at::kDouble)}, {"b", at::full({1, 1}, -4.0, at::kDouble)}};
  };
  const double before = std::sqrt(3.0 * 3.0 + 4.0 * 4.0 + 0.5 * 0.5);
  auto gradients = start();
  EXPECT_NEAR(clip_gradients(gradients, 10.0, 1.0), before, 1e-12);
  EXPECT_TRUE(at::equal(gradients.at("a"), at::tensor({1.0, 0.5}, at::kDouble)));
  EXPECT_EQ(gradients.at("b").item<double>(), -1.0);
  gradients = start();
  EXPECT_NEAR(clip_gradients(gradients, 0.75, 1.0), before, 1e-12);
  EXPECT_NEAR(gradients.at("a")[0].item<double>(), 0.5, 1e-6);
  EXPECT_NEAR(gradients.at("a")[1].item<double>(), 0.25, 1e-6);
  EXPECT_NEAR(gradients.at("b").item<double>(), -0.5, 1e-6);
  auto without = start(), beyond = start();
  clip_gradients(without, 2.0);
  clip_gradients(beyond, 2.0, 100.0);
  for (const auto& [name, gradient] : without) EXPECT_TRUE(at::equal(gradient, beyond.at(name))) << name;
}

// A clamp would make a number of an infinity.
TEST(ClipGradients, DoesNotHideAnInfinity) {
  TensorMap gradients = {{"a", at::full({2}, 3.0)}, {"b", at::full({1}, HUGE_VAL)}};
  EXPECT_FALSE(std::isfinite(clip_gradients(gradients, 1.0, 1.0)));
  EXPECT_TRUE(at::equal(gradients.at("a"), at::full({2}, 3.0)));
  EXPECT_EQ(gradients.at("b").item<double>(), HUGE_VAL);
}

TEST(ClipGradients, LetsWhatIsNotFinitePassThrough) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    TensorMap gradients = {{"a", at::full({2}, 3.0)}, {"b", at::full({1}, bad)}};
    EXPECT_FALSE(std::isfinite(clip_gradients(gradients, 1.0)));
    EXPECT_TRUE(at::equal(gradients.at("a"), at::full({2}, 3.0)));
  }
}

TEST(EmaUpdate, MovesTowardsTheValue) {
  TensorMap average = {{"a", at::full({2}, 10.0)}};
  const TensorMap value = {{"a", at::full({2}, 20.0).requires_grad_()}, {"other", at::ones({1})}};
  ema_update(average, value, 0.9);
  EXPECT_TRUE(at::allclose(average.at("a"), at::full({2}, 11.0)));
  ema_update(average, value, 1.0);
  EXPECT_TRUE(at::allclose(average.at("a"), at::full({2}, 11.0)));
  ema_update(average, value, 0.0);
  EXPECT_TRUE(at::equal(average.at("a"), at::full({2}, 20.0)));
  EXPECT_FALSE(average.at("a").requires_grad());
  EXPECT_EQ(average.size(), 1u);
  TensorMap nothing;
  ema_update(nothing, value, 0.5);
  EXPECT_TRUE(nothing.empty());
}

TEST(Cloned, SharesNothing) {
  const TensorMap source = {{"a", at::full({2}, 1.0).requires_grad_()}};
  auto copy = cloned(source);
  copy.at("a").add_(1.0);
  EXPECT_TRUE(at::equal(source.at("a").detach(), at::full({2}, 1.0)));
  EXPECT_FALSE(copy.at("a").requires_grad());
}

TEST(Cast, KeepsGradientsFlowing) {
  const auto parameters = leaves({{"a", noise(1, {3})}});
  const auto halves = cast(parameters, at::kBFloat16);
  EXPECT_EQ(halves.at("a").scalar_type(), at::kBFloat16);
  const auto gradients = gradients_of(halves.at("a").sum(), parameters);
  EXPECT_EQ(gradients.at("a").scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(gradients.at("a"), at::ones({3})));
}

}  // namespace
}  // namespace thalweg
