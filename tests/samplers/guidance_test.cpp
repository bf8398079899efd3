// Laws of the guidances on a small nonlinear velocity.

#include <cmath>

#include "tests/samplers/guidance_laws.h"

namespace thalweg {
namespace {

using namespace guidance_laws;

Schedule uniform_schedule_of_one() {
  return {{1.0, 0.0}};
}

TEST_F(Guidances, WithoutStrengthTheyAreTheIdentityAndAskForNoReward) {
  int64_t calls = 0;
  const RewardValue counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    ++calls;
    return wave(x, step, c);
  };
  for (const auto& [name, guidance] : all_guidances(counted, 0.0))
    EXPECT_TRUE(at::equal(at_x(guidance), v_)) << name;
  for (const auto& [name, guidance] : all_guidances(counted, 2.0, 5, 5))
    EXPECT_TRUE(at::equal(at_x(guidance), v_)) << name;
  EuphoniumOptions by_noise;
  by_noise.beta = 0.5;
  const auto still = euphonium(process_gradient(counted), by_noise)(analytic_velocity);
  EXPECT_TRUE(at::equal(still(in_.x_BCFHW, step_at(in_.schedule, 4, in_.slot_B), in_.conditioning), v_))
      << "the ODE";
  EXPECT_EQ(calls, 0);
  for (const auto& [name, guidance] : all_guidances(counted, 2.0, 4, 1))
    EXPECT_FALSE(at::allclose(at_x(guidance), v_, 0.0, 1e-4)) << name;
  EXPECT_GT(calls, 0);
}

TEST_F(Guidances, TheVelocityIsAskedOnce) {
  int64_t calls = 0;
  const Velocity counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    ++calls;
    return analytic_velocity(x, step, c);
  };
  for (const auto& [name, guidance] : all_guidances(wave, 2.0)) {
    calls = 0;
    const auto v = guidance(counted)(in_.x_BCFHW, step_, in_.conditioning);
    EXPECT_EQ(calls, 1) << name;
    EXPECT_FALSE(v.requires_grad()) << name;
  }
}

TEST_F(Guidances, AtPureNoiseThePullIsItsLimit) {
  const auto first = step_of(flow_sde(0.7), in_.schedule, 0, in_.slot_B);
  const auto& c = in_.conditioning;
  const auto v_first = analytic_velocity(in_.x_BCFHW, first, c);
  const double t = 0.5 * (1.0 + in_.schedule.sigmas[1]), factor = t / (1.0 - t);
  auto below = first;
  below.sigma_B = at::full_like(first.sigma_B, t);
  const auto clean = look_ahead(analytic_velocity, wave, in_.x_BCFHW, below, c, WithGradient::yes);
  const auto noisy = look_at(analytic_velocity, wave, in_.x_BCFHW, below, c, WithGradient::yes);
  const auto pull = [&](const Guidance& guidance) {
    return v_first - guidance(analytic_velocity)(in_.x_BCFHW, first, c);
  };
  EXPECT_TRUE(at::allclose(pull(flow_nrg(wave, {})), noisy.gradient_BCFHW * factor, 1e-9, 1e-12));
  EXPECT_TRUE(at::allclose(pull(dps(wave, {})), clean.gradient_BCFHW * factor, 1e-9, 1e-12));
  // x0hat is that of the step itself; t/(1-t) of the normal Jacobian there.
  const auto x0 = clean_estimate(in_.x_BCFHW, v_first, first);
  const auto slope = at::cos(x0 * 1.3) * (1.3 * t / ((1.0 - t) * (1.0 - t) + t * t));
  EXPECT_TRUE(at::allclose(pull(mpgd(wave, {})), slope, 1e-9, 1e-12));
  EXPECT_GT(pull(spsa(wave, {}, {}, 5)).abs().max().item<double>(), 0.1);
  // A schedule of one step has a limit as well.
  const auto only = step_of(ode(), uniform_schedule_of_one(), 0, in_.slot_B);
  EXPECT_FALSE(at::allclose(flow_nrg(wave, {})(analytic_velocity)(in_.x_BCFHW, only, c),
                            analytic_velocity(in_.x_BCFHW, only, c), 0.0, 1e-3));
}

TEST_F(Guidances, ALimitOfTheNoiseLevelIsTheFirstStepBelow) {
  const auto& sigmas = in_.schedule.sigmas;
  const auto limited = [&](double max_sigma, int64_t begin = 0, int64_t size = 0) {
    return below_level({1.0, begin, size}, in_.schedule, max_sigma);
  };
  EXPECT_EQ(limited(1.0).window_begin, 0);
  EXPECT_EQ(limited(sigmas[4]).window_begin, 4);
  EXPECT_EQ(limited(sigmas[4] - 1e-9).window_begin, 5);
  EXPECT_EQ(limited(sigmas[4], 6).window_begin, 6);
  const auto cut = limited(sigmas[4], 2, 5);
  EXPECT_EQ(cut.window_begin, 4);
  EXPECT_EQ(cut.window_size, 3);
  for (const auto& none : {limited(0.0), limited(sigmas[4], 2, 2)}) EXPECT_EQ(none.lambda, 0.0);
}

TEST_F(Guidances, SamplesWithoutAScoreKeepTheirVelocityAndTouchNoOther) {
  const RewardValue partly = [](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto factor_B = at::ones({x.size(0)}, at::kDouble);
    for (size_t i = 0; i < step.slot_B.size(); ++i)
      if (step.slot_B[i] == 1) factor_B[static_cast<int64_t>(i)] = kNaN;
    return wave(x, step, c) * factor_B;
  };
  const auto whole = all_guidances(wave, 2.0), masked = all_guidances(partly, 2.0);
  for (size_t i = 0; i < whole.size(); ++i) {
    const auto v = at_x(masked[i].guidance), all = at_x(whole[i].guidance);
    EXPECT_TRUE(at::equal(v[1], v_[1])) << whole[i].name;
    for (const int64_t b : {0, 2, 3}) EXPECT_TRUE(at::equal(v[b], all[b])) << whole[i].name;
  }
}

TEST_F(Guidances, AGradientThatIsNotFiniteGuidesNothing) {
  // sqrt at 0: the reward is a number, its slope is not.
  const RewardValue cusp = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return (x - x.detach()).square().sum({1, 2, 3, 4}).sqrt() + x.flatten(1).sum(1);
  };
  EXPECT_TRUE(at::equal(at_x(flow_nrg(cusp, {})), v_));
  EXPECT_TRUE(at::equal(at_x(euphonium(process_gradient(cusp), {})), v_));
}

TEST_F(Guidances, PermutedRowsAndSingleRowsGiveTheSame) {
  for (const auto& [name, guidance] : all_guidances(wave, 2.0)) {
    const auto all = at_x(guidance);
    const auto rows = [&](const std::vector<int64_t>& slots) {
      const auto in = sampler_input(in_.schedule, at::kDouble, slots);
      return guidance(analytic_velocity)(in.x_BCFHW, step_of(flow_sde(0.7), in.schedule, 4, slots),
                                         in.conditioning);
    };
    EXPECT_TRUE(at::equal(rows({2, 0, 3, 1}), all.index_select(0, at::tensor({2, 0, 3, 1})))) << name;
    for (int64_t b = 0; b < 4; ++b) EXPECT_TRUE(at::equal(rows({b})[0], all[b])) << name;
  }
}

TEST_F(Guidances, EuphoniumMovesTheMeanOfEveryKernelByItsStep) {
  const auto& x = in_.x_BCFHW;
  for (const auto& kernel : {ode(), flow_sde(0.7), dance_sde(0.3), cps(0.8), memoryless()})
    for (const int64_t index : {0, 3, 9}) {
      const auto step = step_of(kernel, in_.schedule, index, in_.slot_B);
      const double duration = in_.schedule.sigmas[static_cast<size_t>(index)] -
                              in_.schedule.sigmas[static_cast<size_t>(index) + 1];
      const double k = 1.3 + in_.schedule.sigmas[static_cast<size_t>(index)];
      const auto g = at::cos(x * k) * k;  // of `wave`
      const auto moved = [&](const EuphoniumOptions& o) {
        const auto v = analytic_velocity(x, step, in_.conditioning);
        const auto guided_v =
            euphonium(process_gradient(wave), o)(analytic_velocity)(x, step, in_.conditioning);
        return transition(x, guided_v, step.kernel).mean_BCFHW - transition(x, v, step.kernel).mean_BCFHW;
      };
      EuphoniumOptions o;
      o.guidance_scale = 0.6;
      EXPECT_TRUE(at::allclose(moved(o), g * (0.6 * duration), 0.0, 1e-12)) << index;
      o.normalize = true;
      const auto unit = g / g.flatten(1).norm(2, 1).view({-1, 1, 1, 1, 1});
      EXPECT_TRUE(at::allclose(moved(o), unit * (0.6 * duration), 0.0, 1e-8)) << index;
      o.normalize = false;
      o.beta = 0.4;  // eta^2 D / (2 beta) = std^2 / (2 beta)
      EXPECT_TRUE(at::allclose(moved(o), g * (step.kernel.std * step.kernel.std / 0.8), 0.0, 1e-12)) << index;
    }
}

TEST_F(Guidances, TheSamplerSaysWhatItDoesWithTheVelocity) {
  auto in = in_;
  const auto kernel = flow_sde(0.7);
  in.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    const auto expected = step.index < 3 ? kernel(in_.schedule, step.index) : euler(in_.schedule, step.index);
    EXPECT_EQ(step.kernel.x_scale, expected.x_scale);
    EXPECT_EQ(step.kernel.v_scale, expected.v_scale);
    EXPECT_EQ(step.kernel.std, expected.std);
    return analytic_velocity(x, step, c);
  };
  sample_transitions(in, windowed(kernel, {0, 3}));
}

TEST_F(Guidances, BadOptionsAreRefused) {
  EXPECT_THROW(at_x(spsa(wave, {}, {0, 0.01}, 5)), c10::Error);
  EXPECT_THROW(at_x(spsa(wave, {}, {1, 0.0}, 5)), c10::Error);
  const RewardValue flat = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return x.detach().flatten(1).sum(1).to(at::kDouble);
  };
  EXPECT_THROW(at_x(flow_nrg(flat, {})), c10::Error);
  EXPECT_THROW(at_x(mpgd(flat, {})), c10::Error);
}

}  // namespace
}  // namespace thalweg
