// ReNO against closed forms on a Gaussian, against autograd through the whole sampler, and where rewards
// fail.
#include "samplers/reno.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "tests/samplers/entries.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

const std::vector<int64_t> kShape = {1, 2, 2, 2};
constexpr int64_t kElements = 8;
constexpr double kMean = 0.7, kStd = 0.5;

SamplerInput input_of(const Mixture& law, int64_t steps, int64_t count = 5) {
  return laboratory_input(law, uniform_schedule(steps), count, 3, kShape);
}

at::Tensor drawn(const SamplerInput& in) {
  return sample_transitions(in, ode()).x0_BCFHW;
}

// A reward without a maximum in reach, and not linear.
at::Tensor curved(const at::Tensor& x) {
  return (x.sin() + 0.3 * x).flatten(1).sum(1);
}
const RewardValue kCurved = [](const at::Tensor& x, const Step&, const Conditioning&) { return curved(x); };

// d curved(x_0) / d x_1, by one graph through all steps.
at::Tensor whole_gradient(SamplerInput in) {
  in.x_BCFHW = in.x_BCFHW.detach().requires_grad_();
  return torch::autograd::grad({curved(drawn(in)).sum()}, {in.x_BCFHW})[0];
}

// x_0 = a x_1 + b of each element, by Euler's steps on a Gaussian.
std::pair<double, double> affine_map(int64_t steps) {
  double a = 1.0, b = 0.0;
  const double dt = 1.0 / static_cast<double>(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const double t = 1.0 - static_cast<double>(i) * dt, s2 = kStd * kStd;
    const double k = (t - (1 - t) * s2) / ((1 - t) * (1 - t) * s2 + t * t);
    b -= (k * (b - (1 - t) * kMean) - kMean) * dt;
    a -= k * a * dt;
  }
  return {a, b};
}

// Of c mean(x_0) + w log chi density(|x_1|): every element of x_1 is alpha, with
// alpha - (d-1)/(d alpha) = c a / (d w).
TEST(Reno, FindsTheOptimumOfALinearRewardOnAGaussian) {
  for (const int64_t steps : {2, 3}) {  // of one step the exact velocity makes the mean, whatever the noise
    SCOPED_TRACE(steps);
    const auto in = input_of(gaussian(kMean, kStd), steps);
    const auto [a, b] = affine_map(steps);
    ASSERT_TRUE(at::allclose(drawn(in), a * in.x_BCFHW + b, 1e-12, 1e-12));
    const double d = kElements, c = 0.3, w = 0.01, g = c * a / (d * w);
    const double alpha = 0.5 * (g + std::sqrt(g * g + 4.0 * (d - 1.0) / d));
    const auto found =
        sample_reno(in, ode(), linear_reward(c), {.iterations = 400, .best = "objective"}).x0_BCFHW;
    EXPECT_LT((found - (a * alpha + b)).abs().max().item<double>(), 1e-6);
    EXPECT_GT((found - drawn(in)).abs().max().item<double>(), 0.3);
  }
}

TEST(Reno, AStepIsThatOfOneGraphThroughAllSteps) {
  for (const int64_t steps : {1, 2, 7}) {
    SCOPED_TRACE(steps);
    auto in = input_of(reference_mixture(), steps);
    if (steps == 1)  // a generator
      in.velocity = [](const at::Tensor& x, const Step&, const Conditioning&) {
        return x - (2.0 * x).tanh();
      };
    const RenoOptions plain{
        .iterations = 2, .learning_rate = 0.05, .momentum = 0.0, .clip = 0.0, .regularization = 0.0};
    const auto found = sample_reno(in, ode(), kCurved, plain).x0_BCFHW;
    const auto before = drawn(in);
    in.x_BCFHW = in.x_BCFHW + 0.05 * whole_gradient(in);
    const auto after = drawn(in);
    const auto risen = (curved(after) > curved(before)).view({-1, 1, 1, 1, 1});
    EXPECT_GE(risen.sum().item<int64_t>(), 3);
    EXPECT_TRUE(at::allclose(found, at::where(risen, after, before), 1e-11, 1e-11));
  }
}

// Two steps written out: x + lr (g + mu b) with b <- mu b + g, each g of a norm of 0.1 at most.
TEST(Reno, ClimbsByNesterovsMomentumOfClippedGradients) {
  const RenoOptions o{.iterations = 3, .learning_rate = 0.4};
  auto in = input_of(reference_mixture(), 2, 1);
  const auto start = in;
  const auto gradient = [&] {
    const auto& x = in.x_BCFHW;
    const double norm = x.norm().item<double>();
    const auto g = whole_gradient(in) + 0.01 * ((kElements - 1.0) / (norm * norm) - 1.0) * x;
    return g * std::min(1.0, 0.1 / g.norm().item<double>());
  };
  auto b = at::zeros_like(in.x_BCFHW);
  for (int step = 0; step < 2; ++step) {
    const auto g = gradient();
    EXPECT_NEAR(g.norm().item<double>(), 0.1, 1e-12);
    b = 0.9 * b + g;
    in.x_BCFHW = in.x_BCFHW + 0.4 * (g + 0.9 * b);
  }
  EXPECT_TRUE(at::allclose(sample_reno(start, ode(), kCurved, o).x0_BCFHW, drawn(in), 1e-11, 1e-11));
}

TEST(Reno, TheNormsLogDensityIsThatOfChi) {
  const auto x = input_of(reference_mixture(), 1, 4).x_BCFHW.requires_grad_();
  const auto log_density_B = norm_log_density(x);
  const auto norm_B = x.detach().flatten(1).norm(2, 1);
  EXPECT_TRUE(at::allclose(log_density_B.detach(), 7.0 * norm_B.log() - 0.5 * norm_B.square()));
  const auto gradient = torch::autograd::grad({log_density_B.sum()}, {x})[0];
  EXPECT_TRUE(at::allclose(norm_log_density_gradient(x.detach()), gradient, 1e-12, 1e-12));
}

TEST(Reno, TheBestPictureIsKept) {
  const auto in = input_of(reference_mixture(), 3);
  const auto own = drawn(in);
  // Steps so long that whatever is reached is worse.
  const RewardValue near = [&](const at::Tensor& x, const Step&, const Conditioning&) {
    return -(x - own - 0.01).square().flatten(1).sum(1);
  };
  const RenoOptions far{.iterations = 5, .learning_rate = 1e3, .clip = 0.0};
  EXPECT_TRUE(at::equal(sample_reno(in, ode(), near, far).x0_BCFHW, own));
  // The reward alone runs away from the norms of noise; with the norm it does not pay.
  RenoOptions o{.iterations = 30, .learning_rate = 50.0};
  const auto by_reward = sample_reno(in, ode(), linear_reward(1.0), o).x0_BCFHW;
  o.best = "objective";
  const auto by_objective = sample_reno(in, ode(), linear_reward(1.0), o).x0_BCFHW;
  EXPECT_TRUE((by_reward.flatten(1).mean(1) > by_objective.flatten(1).mean(1)).all().item<bool>());
}

// Row 2's reward is missing from the third picture on, row 3's slope.
TEST(Reno, ASampleWhoseGradientFailsKeepsItsBest) {
  const auto in = input_of(reference_mixture(), 3);
  int64_t pictures = 0;
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const auto failing = [&](const at::Tensor& x, const Step&, const Conditioning&) {
    auto value_B = curved(x);
    if (++pictures < 3) return value_B;
    const auto lost = at::tensor({1.0, 1.0, nan, 1.0, 1.0}, at::kDouble);
    if (x.requires_grad())
      x.register_hook([](const at::Tensor& g) {
        return g * at::tensor({1.0, 1.0, 1.0, nan, 1.0}, at::kDouble).view({-1, 1, 1, 1, 1});
      });
    return value_B * lost;
  };
  const auto found = sample_reno(in, ode(), failing, {.iterations = 6}).x0_BCFHW;
  const auto two = sample_reno(in, ode(), kCurved, {.iterations = 2}).x0_BCFHW;
  const auto three = sample_reno(in, ode(), kCurved, {.iterations = 3}).x0_BCFHW;
  const auto all = sample_reno(in, ode(), kCurved, {.iterations = 6}).x0_BCFHW;
  EXPECT_TRUE(at::equal(found[2], two[2]));
  EXPECT_TRUE(at::equal(found[3], three[3]));
  for (const int64_t row : {0, 1, 4}) EXPECT_TRUE(at::equal(found[row], all[row])) << row;
  EXPECT_FALSE(at::equal(found[3], all[3]));
}

TEST(Reno, ASampleThatIsNeverScoredIsTheSamplersOwn) {
  const auto in = input_of(reference_mixture(), 2);
  const RewardValue never = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return curved(x) * std::numeric_limits<double>::quiet_NaN();
  };
  EXPECT_TRUE(at::equal(sample_reno(in, ode(), never, {.iterations = 4}).x0_BCFHW, drawn(in)));
}

TEST(Reno, KeysAreReadAndMistakesNamed) {
  const Json json = {{"name", "reno"}, {"iterations", 7},     {"learning_rate", 2.5},  {"momentum", 0.5},
                     {"clip", 1.5},    {"best", "objective"}, {"regularization", 0.25}};
  EXPECT_EQ(written(json), json);
  const auto wrong = [](const char* key, const Json& value) {
    return place_of_error({{"name", "reno"}, {key, value}});
  };
  EXPECT_EQ(wrong("iterations", 0), "/steering/0/iterations");
  EXPECT_EQ(wrong("learning_rate", 0.0), "/steering/0/learning_rate");
  EXPECT_EQ(wrong("momentum", 1.0), "/steering/0/momentum");
  EXPECT_EQ(wrong("clip", -1.0), "/steering/0/clip");
  EXPECT_EQ(wrong("regularization", -1.0), "/steering/0/regularization");
  EXPECT_EQ(wrong("best", "last"), "/steering/0/best");
  EXPECT_EQ(wrong("lambda", 1.0), "/steering/0/lambda");
}

// Other samplers draw noise of their own, or are not made of one-step transitions.
TEST(Reno, TakesASamplerWithoutNoise) {
  for (const auto& row : sampler_table()) {
    SamplerSection section;
    section.kind = {sampler_table(), row.name};
    section.steps = 4;
    std::string place = "none";
    try {
      check_steering({read_entry({{"name", "reno"}})}, section, {RewardSpec{}});
    } catch (const Error& error) {
      place = error.place();
      EXPECT_NE(std::string(error.what()).find("flow_ode"), std::string::npos) << error.what();
    }
    EXPECT_EQ(place, row.name == std::string("flow_ode") ? "none" : "/sampler/name") << row.name;
  }
}

}  // namespace
}  // namespace thalweg
