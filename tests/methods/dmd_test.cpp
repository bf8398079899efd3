// DMD2 and Re-DMD, on a generator whose law is a formula.
#include <gtest/gtest.h>

#include "engine/core/per_sample.h"
#include "engine/losses/rwr.h"
#include "pipelines/methods/dmd.h"
#include "pipelines/plan/method_count.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

// The velocity of N(m, s^2) at x_t.
at::Tensor gaussian_velocity(const at::Tensor& x, const at::Tensor& t, const at::Tensor& m,
                             const at::Tensor& s) {
  const auto V = (1.0 - t).square() * s.square() + t.square();
  const auto x0 = m + (1.0 - t) * s.square() / V * (x - (1.0 - t) * m);
  return (x - x0) / t;
}

// At t = 1 its one step makes x_0 = a z + b of noise; below it knows that law, N(b, a^2), by heart.
class LinearGenerator final : public SmallModel {
 public:
  using SmallModel::SmallModel;
  Velocity bind(const TensorMap& p, const Adapter*) const override {
    return [a = p.at("a"), b = p.at("b")](const at::Tensor& x, const Step& step, const Conditioning&) {
      const auto t = per_sample(step.sigma_B, x);
      return at::where(t == 1.0, x - (a * x + b), gaussian_velocity(x, t, b, a));
    };
  }
};

TrainingParts linear_parts(double a, double b) {
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.model = std::make_unique<LinearGenerator>(a, b);
  parts.teacher = {{"a", at::full({1}, 0.5, at::kDouble)}, {"b", at::full({1}, 0.7, at::kDouble)}};
  return parts;
}

TrainingOptions one_step(const std::string& name, int64_t micro_batch = 4) {
  auto options = options_of(name, micro_batch);
  options.sampler.steps = 1;
  return options;
}

Json settings(const std::string& name, Json more = Json::object()) {
  auto all = settings_of(name, 1);
  all["teacher"] = "the parts'";
  all["guidance_scale"] = 1.0;
  all["critic"] = {{"alone", 0}, {"updates", 1}, {"optimizer", {{"learning_rate", 0.0}}}};
  all.update(more, /*merge_objects=*/true);
  return all;
}

// T17: whatever it starts as, the generator ends as N(0.7, 0.5^2), which its teacher is. Weights of samples,
// which cannot tell where mu_real = mu_fake, do not move that.
class ALinearGenerator : public ::testing::TestWithParam<const char*> {};

TEST_P(ALinearGenerator, ComesToTheTeachersLaw) {
  auto options = one_step(GetParam(), 64);
  options.iterations = 500;
  options.optimizer.learning_rate = 0.02;
  options.optimizer.schedule = "linear";
  SmallTraining small(linear_parts(1.2, -0.3), options);
  const auto of_critic = Json{{"learning_rate", 0.03}, {"schedule", "linear"}, {"weight_decay", 0.0}};
  const auto run =
      method_named(
          GetParam(),
          settings(GetParam(), {{"prompts_per_iteration", has_key(GetParam(), "group_size") ? 16 : 64},
                                {"critic", {{"updates", 3}, {"alone", 30}, {"optimizer", of_critic}}}}))
          ->start(small.training);
  for (int64_t i = 0; i < options.iterations; ++i) run->iterate(i);
  EXPECT_NEAR(small.training.policy.parameters().at("a").abs().item<double>(), 0.5, 0.01);
  EXPECT_NEAR(small.training.policy.parameters().at("b").item<double>(), 0.7, 0.01);
}

INSTANTIATE_TEST_SUITE_P(Dmd, ALinearGenerator, ::testing::Values("dmd2", "reward_forcing"));

// The gradient of the first update of generator (a, b) with critic (a, b) from teacher (0.5, 0.7), by hand.
std::pair<double, double> gradient_by_hand(Training& t, double a, double b, const at::Tensor& weight_B) {
  std::vector<int64_t> slots(12);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int64_t>(i);
  const auto z = normal_noise(t.seed(), Purpose::initial_noise, slots, 0, {1, 1, 2, 2}, at::kDouble);
  const auto noise = normal_noise(t.seed(), Purpose::training_noise, slots, 1, {1, 1, 2, 2}, at::kDouble);
  const auto tau_B = drawn_tau(t, DmdOptions().tau, slots, std::vector<int64_t>(slots.size(), 0), 1);
  const auto tau = per_sample(tau_B, z), x = a * z + b, x_t = (1.0 - tau) * x + tau * noise;
  const auto number = [](double value) { return at::full({1}, value, at::kDouble); };
  const auto mu = [&](double m, double s) {
    return x_t - tau * gaussian_velocity(x_t, tau, number(m), number(s));
  };
  const auto mu_real = mu(0.7, 0.5), mu_fake = mu(b, a);
  const auto size = (x - mu_real).abs().flatten(1).mean(1);
  const auto grad = (mu_fake - mu_real) / per_sample(size, x) * per_sample(weight_B, x);
  return {(grad * z).mean().item<double>(), grad.mean().item<double>()};
}

TEST(Dmd2, TheGeneratorsGradientIsThePapers) {
  auto options = one_step("dmd2");
  options.optimizer.max_grad_norm = 0.0;
  SmallTraining small(linear_parts(1.2, -0.3), options);
  auto& t = small.training;
  const auto metrics = method_named("dmd2", settings("dmd2"))->start(t)->iterate(0);
  const auto [of_a, of_b] = gradient_by_hand(t, 1.2, -0.3, at::ones({12}, at::kDouble));
  EXPECT_NEAR(number(metrics, "grad_norm"), std::hypot(of_a, of_b), 1e-10);
}

// A sample counts by exp(beta r) over the mean of those; r by hand, of all samples' own brightness.
TEST(RewardForcing, WeighsEachSampleByItsOwnReward) {
  auto options = one_step("reward_forcing", 5);
  options.optimizer.max_grad_norm = 0.0;
  SmallTraining small(linear_parts(1.2, -0.3), options);
  auto& t = small.training;
  const double beta = 1.5, clip = 0.8;
  const auto more = Json{{"beta", beta}, {"adv_clip_max", clip}};
  const auto metrics = method_named("reward_forcing", settings("reward_forcing", more))->start(t)->iterate(0);
  std::vector<int64_t> slots(12);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int64_t>(i);
  const auto x0 =
      1.2 * normal_noise(t.seed(), Purpose::initial_noise, slots, 0, {1, 1, 2, 2}, at::kDouble) - 0.3;
  const auto r_GB = x0.sigmoid().flatten(1).mean(1).view({3, 4});
  const auto centred = r_GB - r_GB.mean(1, true);
  const auto A_B = (centred / (r_GB.std(/*unbiased=*/false) + 1e-4)).clamp(-clip, clip).flatten();
  EXPECT_NEAR(A_B.abs().max().item<double>(), clip, 1e-12);  // some are clamped
  const auto w_B = (beta * A_B).exp();
  const auto [of_a, of_b] = gradient_by_hand(t, 1.2, -0.3, w_B / w_B.mean());
  EXPECT_NEAR(number(metrics, "grad_norm"), std::hypot(of_a, of_b), 1e-5);  // rewards are float32
  EXPECT_NEAR(number(metrics, "ess"), (w_B.sum().square() / w_B.square().sum() / 12.0).item<double>(), 1e-5);
}

// Without a difference between rewards it is DMD2, and not nothing.
TEST(RewardForcing, WithoutAdvantagesItIsDmd2) {
  std::vector<double> norms;
  for (const std::string name : {"dmd2", "reward_forcing"}) {
    auto parts = linear_parts(1.2, -0.3);
    parts.rewards = flat_rewards;
    SmallTraining small(std::move(parts), one_step(name));
    norms.push_back(
        number(method_named(name, settings(name))->start(small.training)->iterate(0), "grad_norm"));
  }
  EXPECT_GT(norms[0], 0.01);
  EXPECT_EQ(norms[0], norms[1]);
}

// What has no reward reaches no gradient of the generator; the critic learns from it.
TEST(RewardForcing, ASampleWithoutRewardIsMasked) {
  const auto run = [](bool fails) {
    auto parts = SmallTraining::parts(0.5, [fails](uint64_t id) { return fails && id % 12 == 5; });
    parts.model = std::make_unique<LinearGenerator>(1.2, -0.3);
    parts.teacher = linear_parts(0.0, 0.0).teacher;
    auto options = one_step("reward_forcing");
    SmallTraining small(std::move(parts), options);
    return method_named("reward_forcing", settings("reward_forcing"))->start(small.training)->iterate(0);
  };
  const auto all = run(false), masked = run(true);
  EXPECT_NE(number(all, "grad_norm"), number(masked, "grad_norm"));
  EXPECT_EQ(number(all, "critic_loss"), number(masked, "critic_loss"));
}

TEST(RewardForcing, ScoresNothingWhileTheCriticIsAlone) {
  SmallTraining small(linear_parts(1.2, -0.3), one_step("reward_forcing"));
  const auto run = method_named("reward_forcing", settings("reward_forcing", {{"critic", {{"alone", 1}}}}))
                       ->start(small.training);
  EXPECT_TRUE(std::isnan(number(run->iterate(0), "reward")));
  EXPECT_EQ(small.training.policy.steps(), 0);
  EXPECT_FALSE(std::isnan(number(run->iterate(1), "reward")));
  EXPECT_EQ(small.training.policy.steps(), 1);
}

// Of K steps: K forwards to draw; with gradient the critic's updates and the generator; without, the
// teacher's two and the critic's.
TEST(Dmd2, IsCounted) {
  auto more =
      Json{{"guidance_scale", 2.0}, {"critic", {{"updates", 3}, {"optimizer", {{"learning_rate", 0.1}}}}}};
  const auto count = count_method(*method_named("dmd2", settings("dmd2", more)), options_of("dmd2"), 0,
                                  [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_of_rollout, 4.0);
  EXPECT_EQ(count.forwards_with_gradient, 4.0);
  EXPECT_EQ(count.forwards_without, 3.0);
  EXPECT_EQ(count.stored_latents, 5.0);
}

TEST(Dmd2, RefusesWhatItCannotDo) {
  for (const std::string name : {"dmd2", "reward_forcing"}) {
    const auto refused = [&](Json more, const std::string& pointer) {
      auto all = settings_of(name);
      all.update(more, true);
      EXPECT_ERROR(method_named(name, all)->check(options_of(name)), pointer);
    };
    method_named(name, settings_of(name))->check(options_of(name));
    refused({{"states", 5}}, "/method/states");
    refused({{"critic", {{"states", 5}}}}, "/method/critic/states");
    refused({{"tau", {{"minimum", 0.5}, {"maximum", 0.5}}}}, "/method/tau/minimum");
    refused({{"critic", {{"optimizer", {{"learning_rate", 0.0}}}}}},
            "/method/critic/optimizer/learning_rate");
    refused({{"critic", {{"alone", 10}}}}, "/method/critic/alone");
    refused({{"regression", {{"iterations", 11}}}}, "/method/regression/iterations");
    EXPECT_ERROR(method_named(name, {{"critic", {{"target", "path"}}}}), "/method/critic/target");
    auto options = options_of(name);
    options.sampler.guidance_scale = 2.0;
    EXPECT_ERROR(method_named(name, settings_of(name))->check(options), "/sampler/guidance_scale");
    options = options_of(name);
    options.sampler.kind = Chosen<SamplerKind>(sampler_table(), "cps");
    EXPECT_ERROR(method_named(name, settings_of(name))->check(options), "/sampler/name");
  }
}

}  // namespace
}  // namespace thalweg
