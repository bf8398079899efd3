// The fused passes against the same mathematics in ATen's operations and double: values and gradients.
#include "engine/models/fused.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <tuple>

#include "engine/core/rng.h"
#include "engine/models/cpu/isa.h"

namespace thalweg {
namespace {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<Tensors(const Tensors&)>;

at::Tensor noise(uint64_t seed, at::IntArrayRef shape) {
  return normal_noise(seed, Purpose::data, {0}, 0, shape, at::kDouble)[0];
}

Tensors leaves(const Tensors& tensors, at::ScalarType dtype) {
  Tensors result;
  for (const auto& t : tensors)
    result.push_back(t.defined() ? t.detach().to(dtype).clone().requires_grad_(true) : t);
  return result;
}

// Values, then the gradient of each defined input of sum(output * weight); `weights` in the order of outputs.
Tensors values_and_gradients(const Function& f, const Tensors& inputs, at::ScalarType dtype) {
  const auto x = leaves(inputs, dtype);
  const auto y = f(x);
  at::Tensor loss;
  Tensors result, wanted;
  for (size_t i = 0; i < y.size(); ++i) {
    const auto term = (y[i].to(at::kDouble) * noise(100 + i, y[i].sizes())).sum();
    loss = loss.defined() ? loss + term : term;
    result.push_back(y[i].detach().to(at::kDouble));
  }
  for (const auto& t : x)
    if (t.defined()) wanted.push_back(t);
  for (const auto& g : torch::autograd::grad({loss}, wanted, {}, {}, false, /*allow_unused=*/true))
    result.push_back(g.defined() ? g.to(at::kDouble) : g);
  return result;
}

// `found` within `tolerance` of `expected`, relative to the largest element of each tensor.
void expect_close(const Tensors& found, const Tensors& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined()) << i;
    if (!found[i].defined()) continue;
    ASSERT_EQ(found[i].sizes(), expected[i].sizes()) << i;
    const double scale = std::max(expected[i].abs().max().item<double>(), 1e-3);
    EXPECT_LT((found[i] - expected[i]).abs().max().item<double>(), tolerance * scale) << "tensor " << i;
  }
}

// Double runs ATen's operations, float32 and bfloat16 the kernels.
void expect_as_in_double(const Function& f, const Tensors& inputs) {
  expect_close(values_and_gradients(f, inputs, at::kFloat), values_and_gradients(f, inputs, at::kDouble),
               2e-5);
  Tensors rounded;
  for (const auto& t : inputs) rounded.push_back(t.defined() ? t.to(at::kBFloat16).to(at::kDouble) : t);
  expect_close(values_and_gradients(f, rounded, at::kBFloat16), values_and_gradients(f, rounded, at::kDouble),
               3e-2);
}

struct Shape {
  int64_t batch, length, width;
};

class TokenPasses : public testing::TestWithParam<Shape> {};

TEST_P(TokenPasses, ModulatedLayerNorm) {
  const auto [b, l, d] = GetParam();
  // Parts of one wide tensor, as a block's modulation gives them.
  expect_as_in_double(
      [](const Tensors& t) {
        const auto parts = t[1].unsqueeze(1).chunk(3, -1);
        return Tensors{modulated_layer_norm(t[0], parts[0], parts[2], 1e-6)};
      },
      {noise(1, {b, l, d}) * 3.0 + 1.0, noise(2, {b, 3 * d})});
}

TEST_P(TokenPasses, GatedSum) {
  const auto [b, l, d] = GetParam();
  expect_as_in_double(
      [](const Tensors& t) { return Tensors{gated_sum(t[0], t[1].unsqueeze(1).chunk(2, -1)[1], t[2])}; },
      {noise(1, {b, l, d}), noise(2, {b, 2 * d}), noise(3, {b, l, d})});
}

TEST_P(TokenPasses, GeluTanh) {
  const auto [b, l, d] = GetParam();
  expect_as_in_double([](const Tensors& t) { return Tensors{gelu_tanh(t[0])}; }, {noise(1, {b, l, d}) * 4.0});
}

TEST_P(TokenPasses, AFrozenModulationGetsNoGradient) {
  const auto [b, l, d] = GetParam();
  const auto x = noise(1, {b, l, d}).to(at::kFloat).requires_grad_(true);
  const auto gate = noise(2, {b, 1, d}).to(at::kFloat), shift = noise(3, {b, 1, d}).to(at::kFloat);
  const auto y = gated_sum(x, gate, modulated_layer_norm(x, shift, gate, 1e-6));
  EXPECT_TRUE(torch::autograd::grad({y.sum()}, {x})[0].isfinite().all().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(Shapes, TokenPasses,
                         testing::Values(Shape{2, 3, 16}, Shape{3, 5, 128}, Shape{1, 1, 7}, Shape{2, 4, 37}),
                         [](const auto& info) {
                           return std::to_string(info.param.batch) + "x" + std::to_string(info.param.length) +
                                  "x" + std::to_string(info.param.width);
                         });

TEST(GeluTanh, FarFromZeroIsTheIdentityOrZeroAndNaNStays) {
  const auto x = at::tensor({-1e30, -50.0, -10.0, 0.0, 10.0, 50.0, 1e30}, at::kFloat);
  const auto y = gelu_tanh(x);
  EXPECT_TRUE(at::allclose(y.to(at::kDouble), at::gelu(x.to(at::kDouble), "tanh"), 1e-6, 1e-8)) << y;
  EXPECT_TRUE(gelu_tanh(at::full({3}, NAN, at::kFloat)).isnan().all().item<bool>());
}

TEST(GroupNormSilu, IsGroupNormThenSilu) {
  for (const auto& [channels, groups, side] : {std::tuple{16, 8, 8}, {6, 3, 5}, {4, 1, 1}, {48, 4, 40}}) {
    const Norm norm{noise(1, {channels}), noise(2, {channels}), groups, 1e-6};
    const auto x = noise(3, {2, channels, side, side}) * 5.0 + 20.0;
    const auto expected = at::silu(group_norm(norm, x));
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const Norm same{norm.weight.to(dtype), norm.bias.to(dtype), groups, 1e-6};
      const double tolerance = dtype == at::kFloat ? 1e-4 : 6e-2;
      expect_close({group_norm_silu(same, x.to(dtype)).to(at::kDouble)}, {expected}, tolerance);
      const auto interleaved = x.to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
      expect_close({group_norm_silu(same, interleaved).to(at::kDouble)}, {expected}, tolerance);
    }
  }
}

TEST(GroupNormSilu, GradientsAgreeWithAten) {
  for (const auto layout : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast})
    for (const auto& [channels, groups, side] : {std::tuple{16, 8, 8}, {6, 3, 5}, {4, 1, 1}, {48, 4, 40}})
      expect_as_in_double(
          [&, groups = groups](const Tensors& t) {
            return Tensors{group_norm_silu({t[1], t[2], groups, 1e-6}, t[0].contiguous(layout))};
          },
          {noise(3, {2, channels, side, side}) * 5.0 + 2.0, noise(1, {channels}), noise(2, {channels})});
}

TEST(GroupNormSilu, FrozenWeightsGetNoGradient) {
  const Norm norm{noise(1, {16}), noise(2, {16}), 8, 1e-6};
  const auto f = [&](const Tensors& t) {
    return Tensors{group_norm_silu(
        {norm.weight.to(t[0].scalar_type()), norm.bias.to(t[0].scalar_type()), 8, 1e-6}, t[0])};
  };
  expect_as_in_double(f, {noise(3, {2, 16, 6, 6})});
}

struct Joint {
  int64_t length, context, heads, head_dim;
  bool normed, context_used;
  bool turned = false;
};

// q, k, v, norm_q, norm_k of both streams.
Tensors attention_inputs(const Joint& j, int64_t batch) {
  Tensors t;
  for (const int64_t length : {j.length, j.context}) {
    for (int i = 0; i < 3; ++i)
      t.push_back(length > 0 ? noise(t.size(), {batch, length, j.heads * j.head_dim}) : at::Tensor());
    for (int i = 0; i < 2; ++i)
      t.push_back(length > 0 && j.normed ? noise(t.size(), {j.head_dim}) * 0.2 + 1.0 : at::Tensor());
  }
  return t;
}

JointAttention attend(const Tensors& t, const Joint& j) {
  const auto stream = [&](size_t i, int64_t length, int64_t first) {
    TokenStream s{
        t[i], t[i + 1], t[i + 2], {t[i + 3], {}, j.head_dim, 1e-6}, {t[i + 4], {}, j.head_dim, 1e-6}};
    if (j.turned) {
      const auto position = (at::arange(length) + first).unsqueeze(1);
      s.rotation = rotation_of(at::cat({position, position * 3}, 1), {j.head_dim / 4, 3 * j.head_dim / 4},
                               100.0, at::kCPU);
    }
    return s;
  };
  return joint_attention(stream(0, j.length, 2), stream(5, j.context, 0), j.heads);
}

class AttentionPasses : public testing::TestWithParam<Joint> {};

TEST_P(AttentionPasses, AgreeWithAten) {
  const auto j = GetParam();
  expect_as_in_double(
      [&](const Tensors& t) {
        const auto y = attend(t, j);
        return j.context_used ? Tensors{y.x_BLD, y.context_BLD} : Tensors{y.x_BLD};
      },
      attention_inputs(j, 2));
}

TEST_P(AttentionPasses, ASampleDoesNotDependOnItsBatch) {
  const auto j = GetParam();
  auto all = leaves(attention_inputs(j, 3), at::kFloat);
  auto one = all;
  for (size_t i = 0; i < one.size(); ++i)
    if (one[i].defined() && one[i].dim() == 3) one[i] = one[i].slice(0, 1, 2);
  EXPECT_TRUE(at::equal(attend(all, j).x_BLD.slice(0, 1, 2), attend(one, j).x_BLD));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionPasses,
                         testing::Values(Joint{16, 11, 2, 64, true, true}, Joint{16, 11, 2, 64, true, false},
                                         Joint{9, 0, 3, 32, true, false}, Joint{1, 2, 1, 16, false, true},
                                         Joint{70, 58, 2, 48, true, true}, Joint{64, 5, 1, 128, false, true},
                                         Joint{130, 3, 2, 16, true, true}, Joint{5, 4, 2, 8, true, true},
                                         Joint{16, 11, 2, 64, true, true, true},
                                         Joint{9, 0, 3, 32, false, false, true},
                                         Joint{70, 58, 2, 48, true, false, true},
                                         Joint{130, 3, 2, 16, true, true, true}),
                         [](const auto& info) { return "Case" + std::to_string(info.index); });

TEST(LoraLinear, AgreesWithItsSum) {
  for (const bool bias : {true, false})
    expect_as_in_double(
        [&](const Tensors& t) { return Tensors{lora_linear(t[0], t[1], t[2], t[3], t[4], 1.5)}; },
        {noise(1, {2, 5, 12}), noise(2, {7, 12}), bias ? noise(3, {7}) : at::Tensor(), noise(4, {3, 12}),
         noise(5, {7, 3})});
  const auto x = noise(1, {2, 5, 12}), w = noise(2, {7, 12}), a = noise(4, {3, 12}), b = noise(5, {7, 3});
  expect_close({lora_linear(x, w, {}, a, b, 1.5)}, {at::linear(x, w + at::mm(b, a) * 1.5)}, 1e-12);
}

// Every instruction set that this processor runs gives the same numbers, up to the rounding of fused
// products.
TEST(Kernels, InstructionSetsAgree) {
  const auto x = noise(1, {3, 5, 40}).to(at::kFloat), scale = noise(2, {3, 40}).to(at::kFloat);
  const cpu::Tokens n{3, 5, 40};
  const auto run = [&](const cpu::Kernels<float>& k) {
    const auto y = at::empty_like(x), mean = at::empty({15}, at::kFloat), rstd = at::empty({15}, at::kFloat),
               z = at::empty_like(x);
    const cpu::Modulation<float> m{scale.const_data_ptr<float>(), 40};
    k.layer_norm(x.const_data_ptr<float>(), m, m, y.mutable_data_ptr<float>(), mean.mutable_data_ptr<float>(),
                 rstd.mutable_data_ptr<float>(), n, 1e-6F);
    k.gelu(y.const_data_ptr<float>(), z.mutable_data_ptr<float>(), z.numel());
    return z.to(at::kDouble);
  };
  const auto expected = run(cpu::baseline::of_float);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    expect_close({run(cpu::avx2::of_float)}, {expected}, 1e-5);
#endif
  expect_close({run(cpu::kernels<float>())}, {expected}, 1e-5);
}

}  // namespace
}  // namespace thalweg
