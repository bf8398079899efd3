// The direct loop, and ReFL, DRaFT and Adjoint Matching on the small model.
#include "pipelines/methods/direct.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "engine/core/error.h"
#include "pipelines/plan/method_count.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

Json settings(const std::string& name, Json more = Json::object()) {
  auto all = settings_of(name, 1);
  all.update(more);
  return all;
}

TrainingOptions deterministic() {
  auto o = options_of("draft");
  o.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_ode");
  return o;
}

MethodCount counted(const std::string& name, const Json& more, const TrainingOptions& options) {
  return count_method(*method_named(name, settings(name, more)), options, 0,
                      [](int64_t steps) { return linear_schedule(steps); });
}

struct AtWork {
  AtWork(const std::string& name, const Json& more, const TrainingOptions& options)
      : small(
            0.0, [](uint64_t) { return false; }, options),
        run(method_named(name, settings(name, more))->start(small.training)) {}
  double parameter(const char* name) const {
    return small.training.policy.parameters().at(name).item<double>();
  }

  SmallTraining small;
  std::unique_ptr<MethodRun> run;
};

// Mean brightness of what the model v = a x + b draws from the noise of twelve samples of the first
// iteration.
double mean_brightness(double a, double b) {
  const SmallModel model(a, b);
  std::vector<int64_t> slots(12);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int64_t>(i);
  const auto x = normal_noise(0, Purpose::initial_noise, slots, 0, {1, 1, 2, 2}, at::kDouble);
  const auto velocity = model.bind(model.backbone(), nullptr);
  const auto x0 = sample_transitions({velocity, linear_schedule(4), {}, x, slots, 0}, ode()).x0_BCFHW;
  return x0.sigmoid().mean().item<double>();
}

// All four steps are differentiated: the gradient is that of the whole sampler.
TEST(Draft, ThroughAllStepsItIsTheSamplersOwnSlope) {
  AtWork draft("draft", {{"steps_back", 4}}, deterministic());
  const auto metrics = draft.run->iterate(0);
  constexpr double kH = 1e-4;
  const double of_a = (mean_brightness(0.5 + kH, 0.1) - mean_brightness(0.5 - kH, 0.1)) / (2 * kH);
  const double of_b = (mean_brightness(0.5, 0.1 + kH) - mean_brightness(0.5, 0.1 - kH)) / (2 * kH);
  EXPECT_NEAR(number(metrics, "grad_norm"), std::hypot(of_a, of_b), 1e-6);
  EXPECT_NEAR(number(metrics, "policy_loss"), -mean_brightness(0.5, 0.1), 1e-6);
  EXPECT_LT((draft.parameter("b") - 0.1) * of_b * -1.0, 0.0);  // the optimizer goes up the reward
}

TEST(Draft, FewerStepsBackAreAPartOfTheSlope) {
  double norms[2];
  for (const int64_t k : {1, 4})
    norms[k == 4] =
        number(AtWork("draft", {{"steps_back", k}}, deterministic()).run->iterate(0), "grad_norm");
  EXPECT_GT(norms[0], 1e-4);
  EXPECT_LT(norms[0], 0.5 * norms[1]);
}

TEST(Draft, DrawsItsTruncation) {
  for (const char* name : {"uniform", "gaussian"}) {
    AtWork draft("draft", {{"steps_back", 3}, {"truncation", {{"name", name}}}}, options_of("draft"));
    std::set<double> seen;
    for (int64_t i = 0; i < 20; ++i) seen.insert(number(draft.run->iterate(i), "steps_back"));
    EXPECT_GE(seen.size(), 3u) << name;
    EXPECT_GE(*seen.begin(), 1.0);
    EXPECT_LE(*seen.rbegin(), std::string(name) == "uniform" ? 3.0 : 4.0);
  }
}

// Noise of its own for each noising: their mean has less variance, and is of the same size.
TEST(Draft, LowVarianceTakesFurtherStepsOfTheSameSample) {
  AtWork plain("draft", Json::object(), deterministic()),
      low("draft", {{"low_variance", 3}}, deterministic());
  const auto a = plain.run->iterate(0), b = low.run->iterate(0);
  EXPECT_NE(number(a, "grad_norm"), number(b, "grad_norm"));
  EXPECT_NEAR(number(b, "grad_norm") / number(a, "grad_norm"), 1.0, 0.3);
  EXPECT_EQ(number(a, "reward"), number(b, "reward"));  // what is drawn and reported is the same
}

TEST(Direct, EveryVariantHasTheSameNumbersForAnyMicroBatch) {
  const std::vector<std::pair<std::string, Json>> variants = {
      {"draft", {{"steps_back", 3}, {"updates", 2}}},
      {"draft", {{"low_variance", 2}}},
      {"draft", {{"steps_back", 3}, {"truncation", {{"name", "uniform"}}}}},
      {"refl", {{"first_share", 0.25}, {"loss", {{"name", "linear"}, {"weight", 1.0}}}}},
      {"adjoint_matching", {{"loss_quantile", 0.6}, {"updates", 3}, {"times_per_sample", 3}}}};
  for (const auto& [name, more] : variants) {
    SCOPED_TRACE(name + more.dump());
    AtWork whole(name, more, options_of(name, 12)), parts(name, more, options_of(name, 5));
    for (int64_t i = 0; i < 3; ++i) whole.run->iterate(i), parts.run->iterate(i);
    for (const char* parameter : {"a", "b"})
      EXPECT_NEAR(parts.parameter(parameter), whole.parameter(parameter), 1e-11);
    EXPECT_NE(whole.parameter("b"), 0.1);
  }
}

// The hinge: what is bright enough teaches nothing.
TEST(Refl, AboveTheMarginThereIsNoSlope) {
  AtWork low("refl", {{"loss", {{"name", "hinge"}, {"margin", 0.0}}}}, options_of("refl"));
  EXPECT_EQ(number(low.run->iterate(0), "grad_norm"), 0.0);
  AtWork hinge("refl", {{"loss", {{"name", "hinge"}, {"margin", 1.0}, {"weight", 0.5}}}}, options_of("refl"));
  AtWork linear("refl", {{"loss", {{"name", "linear"}, {"weight", 0.5}}}}, options_of("refl"));
  const auto a = hinge.run->iterate(0), b = linear.run->iterate(0);
  EXPECT_GT(number(a, "grad_norm"), 0.0);
  EXPECT_EQ(number(a, "grad_norm"), number(b, "grad_norm"));
  EXPECT_NEAR(number(a, "policy_loss") - number(b, "policy_loss"), 0.5, 1e-12);
}

TEST(Refl, StopsWithinItsShares) {
  AtWork refl("refl", {{"first_share", 0.25}, {"last_share", 0.75}}, options_of("refl"));
  std::set<double> seen;
  for (int64_t i = 0; i < 12; ++i) seen.insert(number(refl.run->iterate(i), "differentiated_step"));
  EXPECT_EQ(seen, (std::set<double>{1.0, 2.0}));
}

// K forwards to draw; what is differentiated is asked again, and the base model once a step for its adjoint.
TEST(Direct, IsCounted) {
  auto count = counted("draft", {{"steps_back", 3}}, deterministic());
  EXPECT_EQ(count.forwards_of_rollout, 4.0);
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_EQ(count.backwards, 3.0);
  EXPECT_EQ(count.forwards_without, 0.0);
  EXPECT_EQ(count.reward_gradients, 1.0);
  EXPECT_EQ(count.stored_latents, 5.0);
  count = counted("draft", {{"low_variance", 2}}, deterministic());
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_EQ(count.forwards_without, 2.0);
  EXPECT_EQ(count.reward_gradients, 3.0);
  count = counted("refl", {{"first_share", 0.5}, {"last_share", 0.75}}, deterministic());
  EXPECT_EQ(count.forwards_of_rollout, 3.0);
  EXPECT_EQ(count.forwards_with_gradient, 1.0);
  count = counted("adjoint_matching", {{"times_per_sample", 2}}, options_of("adjoint_matching"));
  EXPECT_EQ(count.forwards_of_rollout, 4.0);
  EXPECT_EQ(count.forwards_with_gradient, 2.0);
  EXPECT_EQ(count.forwards_without, 4.0);
  EXPECT_EQ(count.latent_backwards, 4.0);
  EXPECT_EQ(count.stored_latents, 6.0);
}

// The threshold is that of updates before: the first drops nothing, and later ones about what the quantile
// says.
TEST(AdjointMatching, DropsTheLargestLosses) {
  auto still = options_of("adjoint_matching");  // losses fall while the policy learns
  still.optimizer.learning_rate = 0.0;
  AtWork run("adjoint_matching", {{"loss_quantile", 0.5}}, still);
  EXPECT_EQ(number(run.run->iterate(0), "dropped_ratio"), 0.0);
  double dropped = 0.0;
  for (int64_t i = 1; i < 9; ++i) dropped += number(run.run->iterate(i), "dropped_ratio") / 8.0;
  EXPECT_NEAR(dropped, 0.5, 0.25);
}

// Twice lambda: at the start, where the control is 0, targets and gradient are twice as far.
TEST(AdjointMatching, TheTargetGoesWithLambda) {
  const auto norm = [](double lambda) {
    AtWork run("adjoint_matching", {{"lambda", lambda}}, options_of("adjoint_matching"));
    return number(run.run->iterate(0), "grad_norm");
  };
  EXPECT_NEAR(norm(2.0) / norm(1.0), 2.0, 1e-9);
}

}  // namespace
}  // namespace thalweg
