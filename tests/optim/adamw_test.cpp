#include "engine/optim/adamw.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

at::Tensor noise(uint64_t seed, at::IntArrayRef shape) {
  return normal_noise(seed, Purpose::data, {0}, 0, shape)[0];
}

// One scalar's AdamW, spelt out in double.
struct Reference {
  double m = 0.0, v = 0.0;
  int step = 0;

  double updated(double p, double g, double rate, const AdamWOptions& o) {
    ++step;
    m = o.beta1 * m + (1.0 - o.beta1) * g;
    v = o.beta2 * v + (1.0 - o.beta2) * g * g;
    const double m_hat = m / (1.0 - std::pow(o.beta1, step)), v_hat = v / (1.0 - std::pow(o.beta2, step));
    return p * (1.0 - rate * o.weight_decay) - rate * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

class References {
 public:
  explicit References(const at::Tensor& parameter)
      : values_(parameter.to(at::kDouble).contiguous().clone()),
        states_(static_cast<size_t>(values_.numel())) {}

  void step(const at::Tensor& gradient, double rate, const AdamWOptions& options) {
    const auto g = gradient.to(at::kDouble).contiguous();
    auto* p = values_.mutable_data_ptr<double>();
    for (size_t i = 0; i < states_.size(); ++i)
      p[i] = states_[i].updated(p[i], g.const_data_ptr<double>()[i], rate, options);
  }
  double distance(const at::Tensor& parameter) const {
    return (parameter - values_).abs().max().item<double>();
  }

 private:
  at::Tensor values_;
  std::vector<Reference> states_;
};

TEST(AdamW, FollowsTheFormulasForFiveSteps) {
  for (const AdamWOptions& options : {AdamWOptions{}, AdamWOptions{0.8, 0.95, 1e-3, 0.1}}) {
    TensorMap parameters = {{"a", noise(1, {3, 5})}, {"b", noise(2, {7})}};
    References a(parameters.at("a")), b(parameters.at("b"));
    AdamW optimizer(options);
    for (uint64_t k = 0; k < 5; ++k) {
      const double rate = 0.01 * static_cast<double>(k + 1);
      const TensorMap gradients = {{"a", noise(10 + k, {3, 5})}, {"b", noise(20 + k, {7}) * 1e-3}};
      optimizer.step(parameters, gradients, rate);
      a.step(gradients.at("a"), rate, options);
      b.step(gradients.at("b"), rate, options);
      EXPECT_LT(a.distance(parameters.at("a")), 1e-6) << "step " << k;
      EXPECT_LT(b.distance(parameters.at("b")), 1e-6) << "step " << k;
    }
    EXPECT_GT((parameters.at("a") - noise(1, {3, 5})).abs().min().item<double>(), 1e-3);
  }
}

// Autograd may hand over transposed or expanded gradients.
TEST(AdamW, TakesGradientsOfAnyLayout) {
  const auto values = noise(3, {4, 6});
  const auto transposed = values.t().contiguous().t();
  ASSERT_FALSE(transposed.is_contiguous());
  const auto constant = at::full({}, 0.5).expand({4, 6});
  TensorMap plain = {{"a", noise(1, {4, 6})}, {"b", noise(2, {4, 6})}},
            other = {{"a", noise(1, {4, 6})}, {"b", noise(2, {4, 6})}};
  AdamW first({}), second({});
  for (int k = 0; k < 2; ++k) {
    first.step(plain, {{"a", values.contiguous()}, {"b", constant.contiguous()}}, 0.1);
    second.step(other, {{"a", transposed}, {"b", constant}}, 0.1);
  }
  EXPECT_TRUE(at::equal(plain.at("a"), other.at("a")));
  EXPECT_TRUE(at::equal(plain.at("b"), other.at("b")));
}

TEST(AdamW, LeavesParametersWithoutGradientAlone) {
  TensorMap parameters = {{"a", noise(1, {3})}, {"b", noise(2, {3})}};
  const auto before = parameters.at("b").clone();
  AdamW optimizer({});
  optimizer.step(parameters, {{"a", noise(3, {3})}}, 0.1);
  EXPECT_TRUE(at::equal(parameters.at("b"), before));
  EXPECT_EQ(optimizer.state().count("exp_avg/b"), 0u);
  optimizer.step(parameters, {}, 0.1);
  // Its first step is bias-corrected as a first step, however late it comes: rate * sign(g), the decay apart.
  optimizer.step(parameters, {{"b", noise(4, {3})}}, 0.1);
  const auto expected = before * (1.0 - 0.1 * 1e-4) - noise(4, {3}).sign() * 0.1;
  EXPECT_TRUE(at::allclose(parameters.at("b"), expected, 0.0, 1e-5));
}

TEST(AdamW, UpdatesLeavesThatRequireGradientsInPlace) {
  TensorMap parameters = {{"a", noise(1, {3}).requires_grad_()}};
  const auto same = parameters.at("a");
  AdamW({}).step(parameters, {{"a", at::ones({3})}}, 0.1);
  EXPECT_TRUE(same.is_leaf());
  EXPECT_TRUE(same.requires_grad());
  EXPECT_TRUE(at::allclose(same.detach(), noise(1, {3}) * (1.0 - 1e-5) - 0.1, 0.0, 1e-5));
}

TEST(AdamW, ResumesBitForBitFromItsState) {
  const auto run = [](int64_t interrupted_at) {
    TensorMap parameters = {{"x.y/z", noise(1, {3, 5})}, {"b", noise(2, {7})}};
    auto optimizer = AdamW({});
    for (int64_t k = 0; k < 5; ++k) {
      if (k == interrupted_at) {
        TensorMap saved;
        for (const auto& [name, tensor] : optimizer.state()) saved[name] = tensor.clone();
        AdamW fresh({});
        fresh.step(parameters, {}, 0.0);
        fresh.load_state(saved);
        optimizer = fresh;
        // The state was copied: what happens to the file's tensors afterwards is no matter.
        for (auto& [name, tensor] : saved) tensor.zero_();
      }
      const auto seed = static_cast<uint64_t>(k);
      optimizer.step(parameters, {{"x.y/z", noise(10 + seed, {3, 5})}, {"b", noise(20 + seed, {7})}}, 0.01);
    }
    return parameters;
  };
  const auto whole = run(-1), resumed = run(3);
  for (const auto& [name, tensor] : whole) EXPECT_TRUE(at::equal(tensor, resumed.at(name))) << name;
}

// ATen's CUDA kernel reads the count as float32, whatever the parameters are.
TEST(AdamW, CountsStepsInFloat32) {
  TensorMap parameters = {{"a", at::ones({3}, at::kDouble)}};
  AdamW optimizer({}), resumed({});
  const TensorMap gradients = {{"a", at::ones({3}, at::kDouble)}};
  optimizer.step(parameters, gradients, 0.01);
  auto state = optimizer.state();
  EXPECT_EQ(state.at("step/a").scalar_type(), at::kFloat);
  EXPECT_EQ(state.at("exp_avg/a").scalar_type(), at::kDouble);
  state.at("step/a") = state.at("step/a").to(at::kDouble);  // of an older checkpoint
  resumed.load_state(state);
  EXPECT_EQ(resumed.state().at("step/a").scalar_type(), at::kFloat);
  TensorMap same = {{"a", parameters.at("a").clone()}};
  optimizer.step(parameters, gradients, 0.01);
  resumed.step(same, gradients, 0.01);
  EXPECT_TRUE(at::equal(parameters.at("a"), same.at("a")));
}

TEST(AdamW, NamesItsState) {
  TensorMap parameters = {{"a", noise(1, {3})}};
  AdamW optimizer({});
  EXPECT_TRUE(optimizer.state().empty());
  for (int k = 0; k < 4; ++k) optimizer.step(parameters, {{"a", at::ones({3})}}, 0.01);
  const auto state = optimizer.state();
  ASSERT_EQ(state.size(), 3u);
  EXPECT_EQ(state.at("step/a").item<double>(), 4.0);
  EXPECT_NEAR(state.at("exp_avg/a")[0].item<double>(), 1.0 - std::pow(0.9, 4), 1e-6);
  EXPECT_NEAR(state.at("exp_avg_sq/a")[0].item<double>(), 1.0 - std::pow(0.999, 4), 1e-6);
}

}  // namespace
}  // namespace thalweg
