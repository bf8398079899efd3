#include "engine/models/layers.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

at::Tensor noise(uint64_t seed, at::IntArrayRef shape, at::ScalarType dtype = at::kDouble) {
  return normal_noise(seed, Purpose::data, {0}, 0, shape, dtype)[0];
}

void expect_close(const at::Tensor& found, const at::Tensor& expected, double tolerance) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LT((found.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>(), tolerance);
}

TEST(Linear, IsAMatrixProduct) {
  const Linear layer{noise(1, {5, 3}), noise(2, {5}), {}, {}, 0.0};
  const auto x = noise(3, {2, 4, 3});
  expect_close(layer(x), at::einsum("bli,oi->blo", {x, layer.weight}) + layer.bias, 1e-13);
  expect_close(Linear{layer.weight, {}, {}, {}, 0.0}(x), at::einsum("bli,oi->blo", {x, layer.weight}), 1e-13);
}

TEST(Linear, AddsItsAdapter) {
  Linear layer{noise(1, {5, 3}), noise(2, {5}), noise(4, {2, 3}), noise(5, {5, 2}), 1.5};
  const auto x = noise(3, {4, 3});
  const auto merged = layer.weight + at::mm(layer.lora_b, layer.lora_a) * 1.5;
  expect_close(layer(x), at::mm(x, merged.t()) + layer.bias, 1e-13);
}

TEST(Linear, AnAdapterWithZeroBIsTheIdentityBitForBit) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const auto weight = noise(1, {5, 3}).to(dtype), bias = noise(2, {5}).to(dtype),
               x = noise(3, {7, 3}).to(dtype);
    const Linear plain{weight, bias, {}, {}, 0.0};
    const Linear adapted{weight, bias, noise(4, {2, 3}).to(dtype), at::zeros({5, 2}, dtype), 2.0};
    EXPECT_TRUE(at::equal(plain(x), adapted(x)));
  }
}

TEST(Conv2d, AddsItsAdapter) {
  const Conv2d layer{noise(1, {2, 3, 2, 2}), noise(2, {2}),          2,  0,
                     noise(4, {5, 3, 2, 2}), noise(5, {2, 5, 1, 1}), 1.5};
  const auto x = noise(3, {1, 3, 2, 4});
  const auto change =
      at::mm(layer.lora_b.flatten(1), layer.lora_a.flatten(1)).view(layer.weight.sizes()) * 1.5;
  const auto y = layer(x);
  expect_close(y, Conv2d{layer.weight + change, layer.bias, 2, 0}(x), 1e-13);
  const auto patch = x.slice(3, 2, 4).flatten(1);  // the second of two
  expect_close(layer.over_patches()(patch), y.select(3, 1).flatten(1), 1e-13);
}

TEST(Conv2d, AgreesWithItsSum) {
  const Conv2d layer{noise(1, {2, 3, 3, 3}), noise(2, {2}), 2, 1};
  const auto x = noise(3, {1, 3, 5, 6});
  const auto y = layer(x);
  ASSERT_EQ(y.sizes(), at::IntArrayRef({1, 2, 3, 3}));
  const auto padded = at::constant_pad_nd(x, {1, 1, 1, 1});
  for (int64_t o = 0; o < 2; ++o)
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 3; ++j) {
        const auto patch = padded[0].slice(1, 2 * i, 2 * i + 3).slice(2, 2 * j, 2 * j + 3);
        const double expected = (patch * layer.weight[o]).sum().item<double>() + layer.bias[o].item<double>();
        EXPECT_NEAR(y[0][o][i][j].item<double>(), expected, 1e-12);
      }
}

TEST(LayerNorm, AgreesWithItsFormula) {
  const auto x = noise(1, {2, 4, 6}) * 3.0 + 1.0, weight = noise(2, {6}), bias = noise(3, {6});
  const auto mean = x.mean(-1, true);
  const auto variance = (x - mean).square().mean(-1, true);
  const auto normed = (x - mean) / (variance + 1e-2).sqrt();
  expect_close(layer_norm(Norm{weight, bias, 6, 1e-2}, x), normed * weight + bias, 1e-12);
  expect_close(layer_norm(Norm{{}, {}, 6, 1e-2}, x), normed, 1e-12);
  expect_close(layer_norm(Norm{{}, {}, 6, 1e-2}, x.to(at::kFloat)), normed, 1e-5);
}

TEST(GroupNorm, AgreesWithItsFormula) {
  const auto x = noise(1, {2, 6, 3, 4}) * 3.0 + 1.0, weight = noise(2, {6}), bias = noise(3, {6});
  const auto groups = x.reshape({2, 3, 2 * 3 * 4});
  const auto mean = groups.mean(-1, true);
  const auto variance = (groups - mean).square().mean(-1, true);
  const auto normed = ((groups - mean) / (variance + 1e-2).sqrt()).view({2, 6, 3, 4});
  expect_close(group_norm(Norm{weight, bias, 3, 1e-2}, x),
               normed * weight.view({1, 6, 1, 1}) + bias.view({1, 6, 1, 1}), 1e-12);
}

TEST(RmsNorm, AgreesWithItsFormula) {
  const auto x = noise(1, {2, 4, 6}) * 3.0, weight = noise(2, {6});
  const auto normed = x / (x.square().mean(-1, true) + 1e-2).sqrt();
  expect_close(rms_norm(Norm{weight, {}, 6, 1e-2}, x), normed * weight, 1e-12);
  expect_close(rms_norm(Norm{{}, {}, 6, 1e-2}, x), normed, 1e-12);
  expect_close(rms_norm(Norm{weight.to(at::kFloat), {}, 6, 1e-2}, x.to(at::kFloat)), normed * weight, 1e-5);
}

// The square of 300 is beyond float16.
TEST(RmsNorm, TakesItsMeanSquareInFloat32) {
  const auto x = (noise(1, {2, 6}) * 300.0).to(at::kHalf);
  const auto y = rms_norm(Norm{{}, {}, 6, 1e-6}, x);
  EXPECT_EQ(y.scalar_type(), at::kHalf);
  const auto exact = x.to(at::kDouble);
  expect_close(y, exact / (exact.square().mean(-1, true) + 1e-6).sqrt(), 2e-3);
}

class Attention : public ::testing::Test {
 protected:
  const at::Tensor q_ = noise(1, {2, 3, 7, 4}), k_ = noise(2, {2, 3, 7, 4}), v_ = noise(3, {2, 3, 7, 4});

  // Softmax spelt out, one query at a time.
  at::Tensor reference(bool causal) const {
    auto y = at::zeros_like(q_);
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t h = 0; h < 3; ++h)
        for (int64_t i = 0; i < 7; ++i) {
          const int64_t seen = causal ? i + 1 : 7;
          auto weight = at::mv(k_[b][h].slice(0, 0, seen), q_[b][h][i]).div(2.0).exp();
          weight = weight / weight.sum();
          y[b][h][i] = at::mv(v_[b][h].slice(0, 0, seen).t(), weight);
        }
    return y;
  }
};

TEST_F(Attention, BackendsAgreeWithTheFormula) {
  for (const bool causal : {false, true})
    for (const auto backend :
         {AttentionBackend::automatic, AttentionBackend::matmul, AttentionBackend::fused}) {
      expect_close(attention(q_, k_, v_, causal, backend), reference(causal), 1e-12);
      const auto y = attention(q_.to(at::kFloat), k_.to(at::kFloat), v_.to(at::kFloat), causal, backend);
      expect_close(y, reference(causal), 1e-5);
    }
}

TEST_F(Attention, BackendsHaveTheSameGradients) {
  for (const bool causal : {false, true}) {
    const auto gradients = [&](AttentionBackend backend) {
      const auto q = q_.clone().requires_grad_(), k = k_.clone().requires_grad_(),
                 v = v_.clone().requires_grad_();
      return torch::autograd::grad({(attention(q, k, v, causal, backend) * noise(4, {2, 3, 7, 4})).sum()},
                                   {q, k, v});
    };
    const auto a = gradients(AttentionBackend::matmul), b = gradients(AttentionBackend::fused);
    for (size_t i = 0; i < 3; ++i) expect_close(a[i], b[i], 1e-11);
  }
}

TEST_F(Attention, AutomaticDoesNotDependOnGradMode) {
  // Rollout runs without gradients and training with them: the same code must answer both.
  const auto q = q_.to(at::kFloat), k = k_.to(at::kFloat), v = v_.to(at::kFloat);
  EXPECT_TRUE(at::equal(attention(q, k, v), attention(q.clone().requires_grad_(), k, v).detach()));
}

TEST_F(Attention, CausalTokensDoNotSeeWhatComesLater) {
  auto k = k_.clone(), v = v_.clone();
  k.slice(2, 4).fill_(9.0);
  v.slice(2, 4).fill_(-9.0);
  for (const auto backend : {AttentionBackend::matmul, AttentionBackend::fused}) {
    const auto y = attention(q_, k_, v_, true, backend), changed = attention(q_, k, v, true, backend);
    expect_close(y.slice(2, 0, 4), changed.slice(2, 0, 4), 1e-13);
    EXPECT_GT((y - changed).slice(2, 4).abs().max().item<double>(), 0.1);
  }
}

}  // namespace
}  // namespace thalweg
