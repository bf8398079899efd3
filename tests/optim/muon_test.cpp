#include "engine/optim/muon.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

at::Tensor noise(uint64_t seed, at::IntArrayRef shape) {
  return normal_noise(seed, Purpose::data, {0}, 0, shape)[0];
}

at::Tensor singular_values(const at::Tensor& matrices) {
  return at::linalg_svdvals(matrices.to(at::kDouble));
}

TEST(Orthogonalised, BringsSingularValuesNearOne) {
  for (const auto& shape : {std::vector<int64_t>{3, 8, 8}, {2, 6, 20}, {2, 20, 6}}) {
    const auto g = noise(1, shape);
    const auto x = orthogonalised(g, 5);
    ASSERT_EQ(x.sizes(), at::IntArrayRef(shape));
    EXPECT_EQ(x.scalar_type(), at::kFloat);
    const auto values = singular_values(x);
    // The iteration's published band is about 0.7 to 1.2; tiny singular values of g arrive later.
    EXPECT_LT(values.max().item<double>(), 1.3);
    EXPECT_GT(values.median().item<double>(), 0.65);
    if (shape[1] != shape[2]) {
      EXPECT_GT(values.min().item<double>(), 0.6);
    }
    EXPECT_GT(singular_values(g).max().item<double>(), 2.0);
  }
}

TEST(Orthogonalised, KeepsTheSingularVectors) {
  const auto g = noise(2, {1, 5, 12});
  const auto [u, s, vh] = at::linalg_svd(g.to(at::kDouble), false);
  // In the basis of g's own singular vectors the result is diagonal.
  const auto inner =
      at::bmm(at::bmm(u.transpose(1, 2), orthogonalised(g, 5).to(at::kDouble)), vh.transpose(1, 2))[0];
  const auto off_diagonal = inner - at::diag(inner.diagonal());
  EXPECT_LT(off_diagonal.abs().max().item<double>(), 0.05);
  EXPECT_GT(inner.diagonal().min().item<double>(), 0.6);
}

TEST(Orthogonalised, TreatsEachMatrixAlone) {
  const auto a = noise(3, {1, 4, 6}), b = noise(4, {1, 4, 6}) * 1e3;
  EXPECT_TRUE(at::equal(orthogonalised(at::cat({a, b}), 4)[0], orthogonalised(a, 4)[0]));
  // The scale of a gradient is no matter; zero stays zero.
  EXPECT_TRUE(at::allclose(orthogonalised(a * 1024.0, 4), orthogonalised(a, 4), 1e-2, 1e-2));
  EXPECT_EQ(orthogonalised(at::zeros({1, 4, 6}), 4).abs().max().item<double>(), 0.0);
}

// One singular value c > 0: after k steps it is the scalar polynomial's k-th iterate, and the rest stays
// zero.
TEST(Muon, FirstUpdateOfARankOneGradientIsItsDirection) {
  const auto left = at::tensor({0.6, -0.8}, at::kFloat),
             right = at::tensor({2.0, -1.0, 2.0}, at::kFloat) / 3.0;
  const auto gradient = at::outer(left, right) * 7.0;
  double sigma = 1.0;
  for (int k = 0; k < 4; ++k)
    sigma = 3.4445 * sigma - 4.7750 * std::pow(sigma, 3) + 2.0315 * std::pow(sigma, 5);
  TensorMap parameters = {{"w", at::zeros({2, 3})}};
  Muon({}).step(parameters, {{"w", gradient}}, 0.1);
  // Wider than tall: no scale. Against the gradient.
  EXPECT_LT((parameters.at("w") + at::outer(left, right) * (0.1 * sigma)).abs().max().item<double>(), 2e-3);
  TensorMap tall = {{"w", at::zeros({3, 2})}};
  Muon({}).step(tall, {{"w", gradient.t()}}, 0.1);
  const double scale = std::sqrt(3.0 / 2.0);
  EXPECT_LT((tall.at("w") + at::outer(right, left) * (0.1 * sigma * scale)).abs().max().item<double>(), 2e-3);
}

TEST(Muon, LooksAheadWithNesterovMomentum) {
  const MuonOptions options{0.9, 4};
  TensorMap parameters = {{"w", at::zeros({4, 6})}};
  Muon optimizer(options);
  const auto first = noise(1, {4, 6}), second = noise(2, {4, 6});
  optimizer.step(parameters, {{"w", first}}, 0.1);
  const auto before = parameters.at("w").clone();
  optimizer.step(parameters, {{"w", second}}, 0.1);
  const auto momentum = (first * 0.1) * 0.9 + second * 0.1;
  const auto update = orthogonalised((second * 0.1 + momentum * 0.9).unsqueeze(0), 4)[0];
  EXPECT_TRUE(at::allclose(optimizer.state().at("momentum/w"), momentum, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(parameters.at("w"), before - update * 0.1, 1e-2, 2e-3));
}

TEST(Muon, ShapesAreBatchedButMatricesStayApart) {
  TensorMap together = {{"a", at::zeros({4, 6})}, {"b", at::zeros({4, 6})}, {"c", at::zeros({6, 4})}};
  const TensorMap gradients = {{"a", noise(1, {4, 6})}, {"b", noise(2, {4, 6})}, {"c", noise(3, {6, 4})}};
  Muon({}).step(together, gradients, 0.1);
  for (const auto& [name, gradient] : gradients) {
    TensorMap alone = {{name, at::zeros(gradient.sizes())}};
    Muon({}).step(alone, {{name, gradient}}, 0.1);
    EXPECT_TRUE(at::equal(alone.at(name), together.at(name))) << name;
  }
}

TEST(Muon, ResumesBitForBitFromItsState) {
  const auto run = [](uint64_t interrupted_at) {
    TensorMap parameters = {{"block.w", noise(1, {4, 6})}};
    auto optimizer = Muon({});
    for (uint64_t k = 0; k < 4; ++k) {
      if (k == interrupted_at) {
        Muon fresh({});
        fresh.load_state(optimizer.state());
        optimizer = fresh;
      }
      optimizer.step(parameters, {{"block.w", noise(10 + k, {4, 6})}}, 0.05);
    }
    return parameters.at("block.w");
  };
  EXPECT_TRUE(at::equal(run(99), run(2)));
}

}  // namespace
}  // namespace thalweg
