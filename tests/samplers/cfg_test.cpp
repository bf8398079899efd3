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

// StableDiffusion3Pipeline.do_classifier_free_guidance: guidance_scale > 1.
TEST_F(Cfg, ScaleOneAndBelowIsNoneAsInDiffusers) {
  for (const double scale : {0.0, 0.3, 0.999, 1.0}) {
    EXPECT_TRUE(at::equal(at_scale(scale), conditional())) << scale;
    EXPECT_TRUE(at::equal(
        cfg({.scale = scale, .rescale = 0.7}, empty_)(analytic_velocity)(x_, step_, prompts_), conditional()))
        << scale;
  }
  EXPECT_FALSE(at::allclose(at_scale(1.001), conditional(), 0.0, 1e-9));
}

TEST_F(Cfg, MixesBothVelocities) {
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

TEST_F(Cfg, OutsideOfTheIntervalItIsTheConditionalVelocityInHalfTheForward) {
  std::vector<int64_t> rows;
  const auto counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    rows.push_back(x.size(0));
    return analytic_velocity(x, step, c);
  };
  const auto with_interval = [&](int64_t begin, int64_t size) {
    return cfg(CfgOptions{3.0, begin, size}, empty_)(counted)(x_, step_, prompts_);
  };
  for (const auto& [begin, size] : {std::pair<int64_t, int64_t>{2, 0}, {0, 1}})
    EXPECT_TRUE(at::equal(with_interval(begin, size), conditional()));
  EXPECT_EQ(rows, (std::vector<int64_t>{4, 4}));
  for (const auto& [begin, size] : {std::pair<int64_t, int64_t>{1, 0}, {0, 2}, {0, 0}})
    EXPECT_TRUE(at::equal(with_interval(begin, size), at_scale(3.0)));
}

TEST_F(Cfg, RescaleGivesTheDeviationOfTheConditionalVelocity) {
  const auto rescaled = [&](double phi) {
    return cfg(CfgOptions{4.5, 0, 0, phi}, empty_)(analytic_velocity)(x_, step_, prompts_);
  };
  const auto deviation = [](const at::Tensor& v) { return v.flatten(1).std(1); };
  const auto plain = at_scale(4.5);
  EXPECT_TRUE(at::equal(rescaled(0.0), plain));
  EXPECT_TRUE(at::allclose(deviation(rescaled(1.0)), deviation(conditional()), 1e-12, 0.0));
  EXPECT_FALSE(at::allclose(deviation(plain), deviation(conditional()), 1e-2, 0.0));
  EXPECT_TRUE(at::allclose(rescaled(0.7), rescaled(1.0) * 0.7 + plain * 0.3, 0.0, 1e-12));
  EXPECT_TRUE(at::equal(cfg(CfgOptions{1.0, 0, 0, 0.7}, empty_)(analytic_velocity)(x_, step_, prompts_),
                        conditional()));
}

}  // namespace
}  // namespace thalweg
