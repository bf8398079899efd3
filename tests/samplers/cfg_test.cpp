#include "samplers/guidance/cfg.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

class Cfg : public ::testing::Test {
 protected:
  at::Tensor at_scale(double scale, const Velocity& velocity = analytic_velocity) const {
    return cfg(scale, empty_)(velocity)(x_, step_, prompts_);
  }
  at::Tensor conditional() const { return analytic_velocity(x_, step_, prompts_); }
  at::Tensor unconditional() const { return analytic_velocity(x_, step_, empty_.select({0, 0, 0, 0})); }

  const std::vector<int64_t> slots_ = {0, 1, 2, 3};
  const at::Tensor x_ = random_latents(1, at::kDouble);
  const Step step_ = step_at({{1.0, 0.6, 0.2, 0.0}}, 1, slots_);
  const Conditioning prompts_ = analytic_conditioning(slots_), empty_ = analytic_conditioning({17});
};

TEST_F(Cfg, ScaleOneIsTheIdentityBitForBit) {
  int calls = 0;
  const auto counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    ++calls;
    EXPECT_EQ(x.size(0), 4);  // no doubled batch
    return analytic_velocity(x, step, c);
  };
  EXPECT_TRUE(at::equal(at_scale(1.0, counted), conditional()));
  EXPECT_EQ(calls, 1);
}

TEST_F(Cfg, MixesBothVelocities) {
  EXPECT_TRUE(at::allclose(at_scale(0.0), unconditional(), 0.0, 1e-14));
  const auto expected = unconditional() + (conditional() - unconditional()) * 4.5;
  EXPECT_TRUE(at::allclose(at_scale(4.5), expected, 0.0, 1e-13));
  EXPECT_FALSE(at::allclose(at_scale(4.5), conditional(), 0.0, 1e-2));
}

TEST_F(Cfg, AsksForBothInOneForward) {
  int calls = 0;
  const auto counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    ++calls;
    EXPECT_EQ(x.size(0), 8);
    EXPECT_EQ(step.sigma_B.size(0), 8);
    EXPECT_EQ(step.next_sigma_B.size(0), 8);
    EXPECT_EQ(step.slot_B, (std::vector<int64_t>{0, 1, 2, 3, 0, 1, 2, 3}));
    EXPECT_EQ(step.index, 1);
    EXPECT_EQ(c.prompts[3], "prompt 17");
    EXPECT_EQ(c.prompts[4], "prompt 0");
    return analytic_velocity(x, step, c);
  };
  at_scale(3.0, counted);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace thalweg
