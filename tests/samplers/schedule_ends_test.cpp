// Every schedule goes from exactly 1 to exactly 0, and falls in between, whatever its numbers: guidance
// divides by 1 - s.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/flash.h"
#include "samplers/schedules/flux.h"
#include "samplers/schedules/karras.h"
#include "samplers/schedules/linear.h"
#include "samplers/schedules/shifted.h"

namespace thalweg {
namespace {

testing::AssertionResult is_exact(const Schedule& schedule, int64_t steps) {
  const auto& s = schedule.sigmas;
  if (schedule.steps() != steps) return testing::AssertionFailure() << schedule.steps() << " steps";
  if (s.front() != 1.0 || s.back() != 0.0)
    return testing::AssertionFailure() << "1 - " << 1.0 - s.front() << " to " << s.back();
  for (size_t i = 1; i < s.size(); ++i)
    if (!(s[i] < s[i - 1])) return testing::AssertionFailure() << s[i] << " after " << s[i - 1];
  return testing::AssertionSuccess();
}

// `k` of `count` numbers from `low` to `high`, evenly in the logarithm.
double between(double low, double high, int64_t k, int64_t count) {
  return low * std::pow(high / low, static_cast<double>(k) / static_cast<double>(count - 1));
}

TEST(ScheduleEnds, AreExactForEveryShiftAndStepCount) {
  constexpr int64_t kShifts = 10'000;
  for (int64_t k = 0; k < kShifts; ++k) {
    const int64_t steps = 1 + k % 1000;
    // Those of a job's bounds, and the round ones of which a third was wrong.
    for (const double shift : {between(1e-3, 1e3, k, kShifts), static_cast<double>(k + 1) / 1000.0}) {
      ASSERT_TRUE(is_exact(shifted_schedule(steps, shift), steps)) << shift;
      ASSERT_TRUE(is_exact(sd3_schedule(steps, shift), steps)) << shift;
    }
    ASSERT_TRUE(is_exact(linear_schedule(steps), steps));
    // Pictures of 16 to 4,096 pixels.
    ASSERT_TRUE(is_exact(flux_schedule(steps, 1 + k * 65536 / kShifts), steps)) << k;
    const double rho = between(0.1, 100.0, k * 7919 % kShifts, kShifts);
    const auto karras = karras_schedule(steps, rho, between(1e-6, 0.9, k, kShifts));
    ASSERT_TRUE(is_exact(karras, steps)) << rho;
    const auto tail = with_shorter_tail(karras, steps / 2, 0.4);
    ASSERT_TRUE(is_exact(tail, tail.steps())) << rho;
  }
}

TEST(ScheduleEnds, KarrasEndsAtItsLowestLevelHoweverSmallRhoIs) {
  for (const double rho : {0.1, 0.15, 0.3, 0.37, 1.0, 7.0, 100.0})
    for (const double sigma_min : {1e-6, 0.002, 0.9})
      EXPECT_NEAR(karras_schedule(20, rho, sigma_min).sigmas[19] / sigma_min, 1.0, 1e-12) << rho;
}

}  // namespace
}  // namespace thalweg
