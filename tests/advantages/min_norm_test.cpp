#include "engine/advantages/min_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "tests/advantages/tables.h"

namespace thalweg {
namespace {

at::Tensor gram(const at::Tensor& vectors_KD) {
  return at::mm(vectors_KD, vectors_KD.t()).contiguous();
}

// K in 2..8 vectors in 1..9 dimensions, so that many are dependent; some repeated, some opposed, some long.
at::Tensor random_vectors(uint64_t n) {
  const auto K = static_cast<int64_t>(2 + n % 7), D = static_cast<int64_t>(1 + n / 7 % 9);
  auto u_KD = normal_noise(n, Purpose::data, {0}, 0, {K, D}, at::kDouble)[0];
  if (n % 5 == 0) u_KD[1] = u_KD[0];
  if (n % 11 == 0) u_KD[1] = -u_KD[0];
  if (n % 3 == 0) return u_KD / u_KD.norm(2, {1}, true);
  return n % 13 == 0 ? u_KD * at::logspace(-2, 2, K, 10.0, at::kDouble).unsqueeze(1) : u_KD;
}

// The conditions that hold at the least norm alone, for 1,000 problems: d . u_k >= |d|^2, with equality where
// alpha_k > 0.
TEST(MinNorm, SatisfiesItsConditions) {
  for (uint64_t n = 0; n < 1000; ++n) {
    const auto u_KD = random_vectors(n);
    const auto alpha = min_norm(gram(u_KD));
    ASSERT_TRUE(alpha) << n;
    const auto alpha_K = at::tensor(*alpha, at::kDouble);
    EXPECT_NEAR(alpha_K.sum().item<double>(), 1.0, 1e-12) << n;
    EXPECT_GE(alpha_K.min().item<double>(), 0.0) << n;
    const auto d = at::mv(u_KD.t(), alpha_K), along_K = at::mv(u_KD, d);
    const double squared = d.dot(d).item<double>(), scale = std::max(1.0, gram(u_KD).max().item<double>());
    for (int64_t k = 0; k < u_KD.size(0); ++k) {
      EXPECT_GE(along_K[k].item<double>(), squared - 1e-11 * scale) << n;
      if (alpha_K[k].item<double>() > 1e-6)
        EXPECT_NEAR(along_K[k].item<double>(), squared, 1e-6 * scale) << n;
    }
  }
}

// alpha_1 = clip((u_2 - u_1) . u_2 / |u_1 - u_2|^2, 0, 1); unit vectors: one half each.
TEST(MinNorm, OfTwoVectorsIsTheClosedForm) {
  for (uint64_t n = 0; n < 200; ++n) {
    auto u = normal_noise(n, Purpose::data, {1}, 0, {2, 3}, at::kDouble)[0];
    u[0] *= 1.0 + static_cast<double>(n % 9);
    const auto apart = u[1] - u[0];
    const double expected = std::clamp((apart.dot(u[1]) / apart.dot(apart)).item<double>(), 0.0, 1.0);
    expect_near(*min_norm(gram(u)), {expected, 1.0 - expected}, 1e-12);
    expect_near(*min_norm(gram(u / u.norm(2, {1}, true))), {0.5, 0.5}, 1e-12);
  }
}

// Orthogonal vectors share by 1 / |u|^2: 1, 2 and 3 long: 36 : 9 : 4.
TEST(MinNorm, OfOrthogonalVectors) {
  expect_near(*min_norm(at::diag(at::tensor({1.0, 4.0, 9.0}, at::kDouble))), {36 / 49.0, 9 / 49.0, 4 / 49.0});
  expect_near(*min_norm(at::ones({1, 1}, at::kDouble)), {1.0});
}

// With floors: no exchange between two vectors, the giver above its floor, makes it shorter.
TEST(MinNorm, KeepsTheFloors) {
  for (uint64_t n = 0; n < 200; ++n) {
    const auto u_KD = random_vectors(n);
    const auto K = static_cast<double>(u_KD.size(0)), floor = 0.1 + 0.9 * static_cast<double>(n % 4) / 3.0;
    const auto alpha = min_norm(gram(u_KD), floor / K);
    ASSERT_TRUE(alpha) << n;
    const auto alpha_K = at::tensor(*alpha, at::kDouble);
    EXPECT_NEAR(alpha_K.sum().item<double>(), 1.0, 1e-12) << n;
    EXPECT_GE(alpha_K.min().item<double>(), floor / K - 1e-12) << n;
    const auto along_K = at::mv(gram(u_KD), alpha_K);
    const double scale = std::max(1.0, gram(u_KD).max().item<double>());
    for (int64_t k = 0; k < u_KD.size(0); ++k)
      if ((*alpha)[static_cast<size_t>(k)] > floor / K + 1e-6)
        EXPECT_LE(along_K[k].item<double>(), along_K.min().item<double>() + 1e-6 * scale) << n;
  }
  // One is twice as long and orthogonal: 4/5, 1/5 without.
  expect_near(*min_norm(at::diag(at::tensor({1.0, 4.0}, at::kDouble)), 0.3), {0.7, 0.3});
  expect_near(*min_norm(at::diag(at::tensor({1.0, 4.0}, at::kDouble)), 0.5), {0.5, 0.5});
}

TEST(MinNorm, HasNothingToSayOfNumbersThatAreNone) {
  EXPECT_FALSE(min_norm(at::full({2, 2}, kNan, at::kDouble)));
  expect_near(*min_norm(at::zeros({3, 3}, at::kDouble)), {1.0 / 3, 1.0 / 3, 1.0 / 3});
  EXPECT_THROW(min_norm(at::zeros({2, 3}, at::kDouble)), c10::Error);
  EXPECT_THROW(min_norm(at::zeros({2, 2}, at::kFloat)), c10::Error);
  EXPECT_THROW(min_norm(at::eye(2, at::kDouble), 0.6), c10::Error);
}

}  // namespace
}  // namespace thalweg
