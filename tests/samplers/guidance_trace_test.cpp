// What is told of guidance, and how the drift's term becomes a change of the velocity.
#include <cmath>

#include "samplers/doob/doob.h"
#include "samplers/guidance/trace.h"
#include "samplers/schedules/linear.h"
#include "tests/samplers/guidance_laws.h"

namespace thalweg {
namespace {

using namespace guidance_laws;

struct Told {
  at::Tensor x, v, guided;
  Step step;
};

GuidanceSink into(std::vector<Told>& told) {
  return [&told](const at::Tensor& x, const Step& step, const at::Tensor& v, const at::Tensor& guided) {
    told.push_back({x, v, guided, step});
  };
}

TEST_F(Guidances, TellWhatTheyAdd) {
  for (const auto& [name, guidance] : all_guidances(wave, 0.7)) {
    std::vector<Told> told;
    const auto v = traced(guidance, analytic_velocity, into(told))(in_.x_BCFHW, step_, in_.conditioning);
    EXPECT_TRUE(at::equal(v, at_x(guidance))) << name;
    ASSERT_EQ(told.size(), 1u) << name;
    EXPECT_TRUE(at::equal(told[0].x, in_.x_BCFHW)) << name;
    EXPECT_TRUE(at::equal(told[0].v, v_)) << name;
    EXPECT_TRUE(at::equal(told[0].guided, v)) << name;
    EXPECT_EQ(told[0].step.index, step_.index);
    EXPECT_GT((v - v_).abs().max().item<double>(), 1e-6) << name;
  }
}

// There some of them look at the velocity half a step further as well.
TEST_F(Guidances, TellOfTheStepItselfAtPureNoise) {
  const auto first = step_of(flow_sde(0.7), in_.schedule, 0, in_.slot_B);
  const auto v = analytic_velocity(in_.x_BCFHW, first, in_.conditioning);
  for (const auto& [name, guidance] : all_guidances(wave, 0.7)) {
    std::vector<Told> told;
    traced(guidance, analytic_velocity, into(told))(in_.x_BCFHW, first, in_.conditioning);
    ASSERT_EQ(told.size(), 1u) << name;
    EXPECT_TRUE(at::equal(told[0].v, v)) << name;
  }
}

TEST_F(Guidances, TellNothingWhereTheyAddNothing) {
  for (const double lambda : {0.0, 0.7})
    for (const auto& [name, guidance] : all_guidances(wave, lambda, 5, 2)) {
      std::vector<Told> told;
      const auto v = traced(guidance, analytic_velocity, into(told))(in_.x_BCFHW, step_, in_.conditioning);
      EXPECT_TRUE(at::equal(v, v_)) << name;
      EXPECT_TRUE(told.empty()) << name;
    }
}

TEST_F(Guidances, StackedTellTheirSumOnce) {
  const auto all = all_guidances(wave, 0.7);
  const Guidance both = [&](Velocity v) { return all[4].guidance(all[1].guidance(std::move(v))); };
  std::vector<Told> told;
  traced(both, analytic_velocity, into(told))(in_.x_BCFHW, step_, in_.conditioning);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(at::equal(told[0].v, v_));
  EXPECT_TRUE(at::equal(told[0].guided, at_x(both)));
}

// Of a marginal-preserving kernel with noise sigma: a term c g in the drift, and delta v.
struct OfAKernel {
  const char* name;
  Kernel kernel;
};

class DeltaV : public ::testing::Test {
 protected:
  // delta v of euphonium with drift c g, and D c g as the kernel's mean has it.
  struct Found {
    at::Tensor delta_v, shift;
  };
  Found found(const Kernel& kernel, int64_t index, double c) const {
    EuphoniumOptions push;
    push.guidance_scale = c;
    const auto step = step_of(kernel, in_.schedule, index, in_.slot_B);
    std::vector<Told> told;
    traced(euphonium(process_gradient(wave), push), analytic_velocity, into(told))(in_.x_BCFHW, step,
                                                                                   in_.conditioning);
    const auto mean = [&](const at::Tensor& v) { return transition(in_.x_BCFHW, v, step.kernel).mean_BCFHW; };
    return {told.at(0).guided - told.at(0).v, mean(told.at(0).guided) - mean(told.at(0).v)};
  }
  at::Tensor gradient(int64_t index) const {
    const auto step = step_of(ode(), in_.schedule, index, in_.slot_B);
    return look_at(analytic_velocity, wave, in_.x_BCFHW, step, in_.conditioning, WithGradient::yes)
        .gradient_BCFHW;
  }

  const SamplerInput in_ = sampler_input(linear_schedule(10), at::kDouble);
  const OfAKernel kernels_[4] = {
      {"ode", ode()}, {"flow 0.7", flow_sde(0.7)}, {"flow 1.4", flow_sde(1.4)}, {"dance", dance_sde(0.3)}};
};

TEST_F(DeltaV, IsTheDriftOverOnePlusHalfTheNoisesShare) {
  for (const auto& [name, kernel] : kernels_)
    for (const int64_t index : {1, 5, 8}) {
      const auto step = kernel(in_.schedule, index);
      const double t = in_.schedule.sigmas[static_cast<size_t>(index)], D = 0.1, c = 0.8;
      const double sigma2 = step.std * step.std / D;
      const auto [delta_v, shift] = found(kernel, index, c);
      const auto expected = -c * gradient(index) / (1.0 + sigma2 * (1.0 - t) / (2.0 * t));
      EXPECT_LT((delta_v - expected).abs().max().item<double>(), 1e-12) << name << " " << index;
      EXPECT_LT((shift - D * c * gradient(index)).abs().max().item<double>(), 1e-12) << name << " " << index;
    }
}

TEST_F(DeltaV, OfTheExactCoefficientDoesNotKnowTheNoise) {
  for (const auto& [name, kernel] : kernels_)
    for (const int64_t index : {1, 5, 8}) {
      const auto step = kernel(in_.schedule, index);
      const double t = in_.schedule.sigmas[static_cast<size_t>(index)];
      const double exact = t / (1.0 - t) + step.std * step.std / 0.1 / 2.0;
      const auto delta_v = found(kernel, index, exact).delta_v, expected = -t / (1.0 - t) * gradient(index);
      EXPECT_LT((delta_v - expected).abs().max().item<double>(), 1e-12) << name << " " << index;
      std::vector<Told> told;
      const auto at = step_of(kernel, in_.schedule, index, in_.slot_B);
      traced(flow_nrg(wave, {1.0}), analytic_velocity, into(told))(in_.x_BCFHW, at, in_.conditioning);
      EXPECT_LT((told.at(0).guided - told.at(0).v - expected).abs().max().item<double>(), 1e-12) << name;
    }
}

// The pull of "vjp" is a velocity; where no candidate is scored it says so, and the others are silent.
TEST_F(Guidances, DoobTellsOfItsVjpAlone) {
  const RewardValue half = [](const at::Tensor& x, const Step&, const Conditioning& c) {
    auto value_B = wave(x, {at::zeros({x.size(0)}, at::kDouble), {}, 0, {}}, c);
    value_B.view({-1, 4}).select(1, 2).fill_(kNaN);
    return value_B;
  };
  for (const char* form : {"vjp", "drift", "pick"}) {
    DoobOptions o;
    o.form = form;
    o.candidates = 4;
    std::vector<Told> told;
    sample_doob(in_, flow_sde(0.7), half, o, into(told));
    if (std::string(form) != "vjp") {
      EXPECT_TRUE(told.empty()) << form;
      continue;
    }
    ASSERT_EQ(told.size(), 9u);  // not at pure noise
    for (const auto& at : told) {
      EXPECT_TRUE(at.guided[2].isnan().all().item<bool>());
      for (const int64_t b : {0, 1, 3}) {
        EXPECT_TRUE(at.guided[b].isfinite().all().item<bool>());
        EXPECT_FALSE(at::equal(at.guided[b], at.v[b]));
      }
    }
  }
}

}  // namespace
}  // namespace thalweg
