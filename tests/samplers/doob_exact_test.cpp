// Doob's transform against closed forms on the mixture: r = 2 * 1{x > 0}, P(x > 0) = .4 before and .8312
// after.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "samplers/doob/doob.h"
#include "samplers/doob/lookahead.h"
#include "samplers/flow_algebra.h"
#include "samplers/guidance/flow_nrg.h"
#include "tests/samplers/kernels.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

constexpr double kLambda = 2.0;

at::Tensor sigma_of(const Step& step) {
  return step.sigma_B.view({-1, 1, 1, 1, 1});
}

double share_above(const at::Tensor& x0) {
  return (x0 > 0.0).to(at::kDouble).mean().item<double>();
}

const RewardValue kSoftValue = [](const at::Tensor& x, const Step& step, const Conditioning&) {
  return indicator_log_h(reference_mixture(), kLambda, x, sigma_of(step)).flatten(1).sum(1);
};

// Twice the indicator of one posterior sample of x_0: e^r is the soft value on average.
RewardValue posterior_reward() {
  return [](const at::Tensor& x, const Step& step, const Conditioning&) {
    const auto x0 =
        (step.sigma_B == 0.0).all().item<bool>()
            ? x
            : posterior_draw(reference_mixture(), x, sigma_of(step), at::rand_like(x), at::randn_like(x));
    return kLambda * (x0 > 0.0).to(at::kDouble).flatten(1).sum(1);
  };
}

RewardValue indicator() {
  return [above = indicator_reward()](const at::Tensor& x, const Step& step, const Conditioning& c) {
    return kLambda * above(x, step, c);
  };
}

double share_with(const DoobOptions& o, const RewardValue& reward, int64_t count, int64_t steps = 100,
                  const Kernel& kernel = memoryless()) {
  at::manual_seed(3);
  const auto in = laboratory_input(reference_mixture(), uniform_schedule(steps), count, 23);
  return share_above(sample_doob(in, kernel, reward, o).x0_BCFHW);
}

// True e^r weights.
DoobOptions options(const std::string& lookahead, const std::string& form, int64_t candidates) {
  DoobOptions o;
  o.candidates = candidates;
  o.lookahead = lookahead;
  o.form = form;
  o.temperature = 1.0;
  o.normalize = false;
  o.antithetic = false;
  return o;
}

TEST(DoobExact, TheTransformItselfReachesTheTiltedShare) {
  const double target = indicator_probability(reference_mixture(), kLambda);
  ASSERT_NEAR(target, 0.8312, 1e-4);
  auto in = laboratory_input(reference_mixture(), uniform_schedule(100), 10000, 23);
  in.velocity = flow_nrg(kSoftValue, {})(in.velocity);
  EXPECT_NEAR(share_above(sample_transitions(in, memoryless()).x0_BCFHW), target, 0.015);
}

// The trapezoid rule for the standard normal law, exact to rounding for smooth functions.
struct Quadrature {
  at::Tensor nodes, weights;
};
Quadrature standard_normal_rule() {
  const auto z = at::linspace(-9.0, 9.0, 361, at::kDouble);
  const auto density = at::exp(-0.5 * z.square());
  return {z, density / density.sum()};
}

TEST(DoobExact, TheGradientIsThatOfTheDiscreteSoftValue) {
  const auto mixture = reference_mixture();
  const auto schedule = uniform_schedule(20);
  const auto [nodes, weights] = standard_normal_rule();
  const auto z = nodes, log_omega = weights.log();
  for (const int64_t index : {2, 8, 14}) {  // t = .9, .6, .3
    for (const auto& kernel : {memoryless(), flow_sde(0.7)}) {
      auto in = laboratory_input(mixture, schedule, 9, 5);
      const auto step = step_of(kernel, schedule, index, in.slot_B);
      const auto next = step_at(schedule, index + 1, in.slot_B);
      // log h_disc(x) = log E_z h_t'(mean(x) + std z), and the weights that its gradient takes the mean by.
      const auto terms = [&](const at::Tensor& x) {
        const auto mean = transition(x, in.velocity(x, step, {}), step.kernel).mean_BCFHW;
        const auto x_next = mean.view({9, 1}) + step.kernel.std * z;
        return indicator_log_h(mixture, kLambda, x_next, next.sigma_B.view({9, 1})) + log_omega;
      };
      const auto x = in.x_BCFHW.detach().requires_grad_();
      const auto v = in.velocity(x, step, {});
      const auto u = (at::softmax(terms(x), 1) * z).sum(1).view_as(x) / step.kernel.std;
      const auto g = mean_vjp(v, x, u.detach(), step.kernel);
      const double h = 1e-4;
      const auto log_h = [&](double offset) { return at::logsumexp(terms(in.x_BCFHW + offset), 1); };
      const auto slope = (log_h(h) - log_h(-h)) / (2.0 * h);
      EXPECT_LT((g.flatten() - slope).abs().max().item<double>(), 1e-5) << "step " << index;
      EXPECT_GT(slope.abs().max().item<double>(), 1e-2);
    }
  }
}

TEST(DoobExact, ManyCandidatesMoveTheMeanByTheDrift) {
  // What the second step sees, against std^2 d log E h(mean + std z) / d mean by quadrature.
  const auto mixture = reference_mixture();
  const Schedule schedule{{1.0, 0.6, 0.3, 0.0}};
  auto in = laboratory_input(mixture, schedule, 6, 5);
  std::vector<at::Tensor> seen;
  in.velocity = [&, velocity = in.velocity](const at::Tensor& x, const Step& step, const Conditioning& c) {
    seen.push_back(x);
    return velocity(x, step, c);
  };
  auto o = options("noisy_latents", "drift", 8192);
  o.antithetic = true;
  o.window_begin = 1;
  o.window_size = 1;
  sample_doob(in, memoryless(), kSoftValue, o);
  const auto steered = seen.at(2), before = seen.at(1);
  seen.clear();
  sample_transitions(in, memoryless());
  ASSERT_TRUE(at::equal(seen.at(1), before));
  const auto step = step_of(memoryless(), schedule, 1, in.slot_B);
  const auto mean = transition(before, velocity_of(mixture)(before, step, {}), step.kernel).mean_BCFHW;
  const auto [z, omega] = standard_normal_rule();
  const auto h = indicator_log_h(mixture, kLambda, mean.view({6, 1}) + step.kernel.std * z,
                                 at::full({6, 1}, 0.3, at::kDouble));
  const auto drift = (at::softmax(h + omega.log(), 1) * z).sum(1) * step.kernel.std;
  EXPECT_LT((steered - seen.at(2)).flatten().sub(drift).abs().max().item<double>(), 0.015);
  EXPECT_GT(drift.abs().max().item<double>(), 0.08);
}

TEST(DoobExact, PickByPosteriorSamplesReachesTheTiltedShare) {
  const double target = indicator_probability(reference_mixture(), kLambda);
  EXPECT_NEAR(share_with(options("noisy_latents", "pick", 32), posterior_reward(), 8000), target, 0.03);
}

TEST(DoobExact, MirrorImagesPickRightlyWhereFewFreeCandidatesPickTooLittle) {
  // The tilt of the one that is picked is 1/M too weak, to first order, unless the candidates' mean is fixed.
  const double target = indicator_probability(reference_mixture(), kLambda);
  auto o = options("noisy_latents", "pick", 4);
  EXPECT_LT(share_with(o, kSoftValue, 2000, 80), target - 0.07);
  o.antithetic = true;
  EXPECT_NEAR(share_with(o, kSoftValue, 2000, 80), target, 0.03);
  EXPECT_GT(share_with(options("noisy_latents", "pick", 24), kSoftValue, 2000, 50), target - 0.05);
}

// The paper's weights err by 1/M; those less 1/M, scaled by M/(M-1), do not.
TEST(DoobExact, DriftDoesNotDependOnTheNumberOfCandidates) {
  // Its bias is that of the drift's first order in the step: .81 at 80 steps, .825 at 300.
  for (const bool antithetic : {false, true}) {
    auto o = options("noisy_latents", "drift", 4);
    o.antithetic = antithetic;
    EXPECT_NEAR(share_with(o, kSoftValue, 2000, 80), 0.805, 0.03) << antithetic;
  }
}

TEST(DoobExact, TheCheapLookAheadsAreBiasedAsMeasured) {
  EXPECT_NEAR(share_with(options("recompute", "drift", 32), indicator(), 1000), 0.774, 0.04);
  EXPECT_NEAR(share_with(options("shared", "drift", 32), indicator(), 1000), 0.993, 0.02);
}

TEST(DoobExact, RolloutsOfTheKernelItselfReachTheTiltedShare) {
  const double target = indicator_probability(reference_mixture(), kLambda);
  for (const auto* form : {"pick", "drift"}) {
    auto o = options("rollout", form, 32);
    o.rollout_steps = 40;
    EXPECT_NEAR(share_with(o, indicator(), 1000, 40), target, 0.04) << form;
  }
}

}  // namespace
}  // namespace thalweg
