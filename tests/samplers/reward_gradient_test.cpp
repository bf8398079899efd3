#include "samplers/reward_gradient.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/flow_algebra.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

at::Tensor sum_of_sines(const at::Tensor& x, const Step& step, const Conditioning&) {
  EXPECT_TRUE((step.sigma_B == 0.0).all().item<bool>());
  return at::sin(x * 1.3).flatten(1).sum(1).to(at::kCPU, at::kDouble);
}

TEST(LookAhead, GradientIsThatOfFiniteDifferences) {
  const auto in = sampler_input(sd3_schedule(10, 3.0), at::kDouble);
  const auto step = step_at(in.schedule, 4, in.slot_B);
  const auto ahead =
      look_ahead(in.velocity, sum_of_sines, in.x_BCFHW, step, in.conditioning, WithGradient::yes);
  const auto direction = random_latents(31, at::kDouble);
  const double h = 1e-5;
  const auto at_x = [&](const at::Tensor& x) {
    return look_ahead(in.velocity, sum_of_sines, x, step, in.conditioning, WithGradient::no).value_B;
  };
  const auto slope_B = (at_x(in.x_BCFHW + direction * h) - at_x(in.x_BCFHW - direction * h)) / (2.0 * h);
  EXPECT_TRUE(at::allclose((ahead.gradient_BCFHW * direction).flatten(1).sum(1), slope_B, 1e-7, 1e-8));
}

TEST(LookAhead, AsksOnceAndSaysTheSameWithAndWithoutGradient) {
  auto in = sampler_input(sd3_schedule(10, 3.0), at::kFloat);
  int64_t calls = 0;
  const Velocity counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    ++calls;
    return analytic_velocity(x, step, c);
  };
  const auto step = step_at(in.schedule, 4, in.slot_B);
  const auto with = look_ahead(counted, sum_of_sines, in.x_BCFHW, step, in.conditioning, WithGradient::yes);
  EXPECT_EQ(calls, 1);
  const auto without = look_ahead(counted, sum_of_sines, in.x_BCFHW, step, in.conditioning, WithGradient::no);
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(at::equal(with.value_B, without.value_B));
  EXPECT_TRUE(at::equal(with.v_BCFHW, without.v_BCFHW));
  EXPECT_TRUE(at::equal(with.x0_BCFHW, clean_estimate(in.x_BCFHW, with.v_BCFHW, step)));
  EXPECT_FALSE(without.gradient_BCFHW.defined());
  for (const auto& t : {with.v_BCFHW, with.x0_BCFHW, with.value_B, with.gradient_BCFHW})
    EXPECT_FALSE(t.requires_grad());
  EXPECT_FALSE(in.x_BCFHW.requires_grad());
}

TEST(LookAhead, ARowThatIsNotScoredHasNoGradientAndTouchesNoOther) {
  const auto in = sampler_input(sd3_schedule(10, 3.0), at::kDouble);
  const auto step = step_at(in.schedule, 4, in.slot_B);
  const RewardValue partly = [](const at::Tensor& x, const Step& s, const Conditioning& c) {
    const auto factor_B = at::tensor({1.0, std::numeric_limits<double>::quiet_NaN(), 1.0, 1.0});
    return sum_of_sines(x, s, c) * factor_B;
  };
  const auto ahead = look_ahead(in.velocity, partly, in.x_BCFHW, step, in.conditioning, WithGradient::yes);
  const auto all =
      look_ahead(in.velocity, sum_of_sines, in.x_BCFHW, step, in.conditioning, WithGradient::yes);
  EXPECT_TRUE(std::isnan(ahead.value_B[1].item<double>()));
  EXPECT_TRUE((ahead.gradient_BCFHW[1] == 0.0).all().item<bool>());
  for (const int64_t b : {0, 2, 3}) EXPECT_TRUE(at::equal(ahead.gradient_BCFHW[b], all.gradient_BCFHW[b]));
}

TEST(LookAhead, ARewardWithoutGradientsIsRefused) {
  const auto in = sampler_input(sd3_schedule(10, 3.0), at::kDouble);
  const RewardValue flat = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return x.detach().flatten(1).sum(1);
  };
  EXPECT_THROW(look_ahead(in.velocity, flat, in.x_BCFHW, step_at(in.schedule, 4, in.slot_B), in.conditioning,
                          WithGradient::yes),
               c10::Error);
}

}  // namespace
}  // namespace thalweg
