// The few-step loop and TDM on the small model.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/losses/distribution_matching.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/few_step.h"
#include "pipelines/plan/method_count.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

Json settings(Json more = Json::object()) {
  Json all = {
      {"prompts_per_iteration", 3}, {"updates", 1}, {"guidance_scale", 1.0}, {"critic", {{"alone", 0}}}};
  all.update(more);
  return all;
}

std::vector<MicroBatch> drawn(Training& t, int64_t samples, int64_t parts = 1) {
  return draw_unscored_groups(t, 0, {.groups = samples, .group_size = 1, .updates = 1}, t.policy.velocity(),
                              [parts](const SamplerInput& in) { return walk(in, parts); });
}

// Three parts a step are the ODE of three times the steps; the states between are not kept.
TEST(FewStep, PartsAreStepsOfAFinerSchedule) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options_of("tdm"));
  auto& t = small.training;
  const auto whole = drawn(t, 3, 3).at(0).trajectory;
  ASSERT_EQ(whole.latents.size(), 4u);
  EXPECT_TRUE(at::equal(whole.next_latents.back(), whole.x0_BCFHW));
  auto x = whole.latents[0];
  const auto batch = drawn(t, 3).at(0);
  EXPECT_TRUE(at::equal(batch.trajectory.latents[0], x));  // the same noise
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_TRUE(at::allclose(x, whole.latents[k], 0.0, 1e-12));
    const double t0 = t.schedule.sigmas[k], t1 = t.schedule.sigmas[k + 1];
    for (int j = 0; j < 3; ++j) {
      const auto sigma_B = at::full({x.size(0)}, t0 + (t1 - t0) * j / 3.0, at::kDouble);
      x = x +
          (t1 - t0) / 3.0 * t.policy.velocity()(x, {sigma_B, sigma_B, 0, batch.slot_B()}, batch.conditioning);
    }
    EXPECT_TRUE(at::allclose(x, whole.next_latents[k], 0.0, 1e-12));
  }
}

TEST(FewStep, TauStaysInItsRange) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options_of("tdm"));
  auto& t = small.training;
  const auto batches = drawn(t, 8);
  for (const char* range : {"reverse", "separate"})
    for (const double shift : {1.0, 3.0}) {
      const TauOptions o{.range = range, .margin = 0.01, .maximum = 0.98, .shift = shift};
      for (int64_t k = 0; k < 4; ++k) {
        const auto& from = batches[0].trajectory;
        const auto i = static_cast<size_t>(k);
        const double t0 = t.schedule.sigmas[i], s = t.schedule.sigmas[i + 1];
        const auto levels = [&](double level) { return at::full({4}, level, at::kDouble); };
        const WalkedStep w{batches[0],      k,
                           {k, k, k, k},    {levels(t0), levels(s), k, batches[0].slot_B()},
                           from.latents[i], from.next_latents[i]};
        const auto r = renoised(t, w, o, 0), again = renoised(t, w, o, 0), other = renoised(t, w, o, 1);
        EXPECT_TRUE(at::equal(r.x_tau, again.x_tau));
        EXPECT_FALSE(at::equal(r.step.sigma_B, other.step.sigma_B));
        EXPECT_GT(r.step.sigma_B.min().item<double>(), s);
        EXPECT_LE(r.step.sigma_B.max().item<double>(),
                  std::string(range) == "separate" ? std::min(t0, 0.98) : 0.98);
        const auto [al, be] = conditional_path(r.step.sigma_B, levels(s));
        EXPECT_TRUE(at::allclose(r.x_tau, per_sample(al, w.next) * w.next + per_sample(be, w.next) * r.noise,
                                 0.0, 1e-12));
        const auto high = drawn_tau(t, o, w.step.slot_B, w.k_B, 0, 0.6);
        EXPECT_GE(high.min().item<double>(),
                  std::min(0.6, std::string(range) == "separate" ? t0 : 1.0) - 1e-12);
      }
    }
}

// Of each sample other steps, none twice, and all when as many are asked for as there are; the state that
// is trained is that of its step.
TEST(FewStep, StatesAreDrawnForEachSample) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options_of("tdm"));
  auto& t = small.training;
  Metrics metrics;
  const GroupPlan plan{.groups = 12, .group_size = 1, .updates = 1};
  Walks walks(drawn(t, 12), plan, metrics);
  const auto seen = [&](int64_t states, int64_t draw) {
    std::map<int64_t, std::vector<int64_t>> of_slot;
    const auto look = [&](const WalkedStep& w) {
      for (size_t b = 0; b < w.k_B.size(); ++b) {
        const auto row = static_cast<int64_t>(b);
        const auto k = static_cast<size_t>(w.k_B[b]);
        of_slot[w.step.slot_B[b]].push_back(w.k_B[b]);
        EXPECT_TRUE(at::equal(w.x[row], w.batch.trajectory.latents[k][row]));
        EXPECT_TRUE(at::equal(w.next[row], w.batch.trajectory.next_latents[k][row]));
        EXPECT_EQ(w.step.sigma_B[row].item<double>(), t.schedule.sigmas[k]);
        EXPECT_EQ(w.step.next_sigma_B[row].item<double>(), t.schedule.sigmas[k + 1]);
      }
      return StateLoss{t.policy.velocity()(w.x, w.step, w.batch.conditioning).flatten(1).mean(1)};
    };
    train_on_walked(t, t.policy, walks.update(0), {"loss", states, draw, look}, 0.0, 1, metrics);
    return of_slot;
  };
  std::set<std::vector<int64_t>> kinds;
  for (const auto& [slot, steps] : seen(2, 0)) {
    ASSERT_EQ(steps.size(), 2u);
    EXPECT_NE(steps[0], steps[1]);
    kinds.insert(steps);
  }
  EXPECT_GT(kinds.size(), 3u);
  EXPECT_EQ(seen(2, 0), seen(2, 0));
  EXPECT_NE(seen(2, 0), seen(2, 1));
  for (const int64_t all : {0, 4, 9})
    for (const auto& [slot, steps] : seen(all, 0)) EXPECT_EQ(steps, (std::vector<int64_t>{0, 1, 2, 3}));
}

// Critic and teacher are one model at the start, and without guidance there is nothing to learn.
TEST(Tdm, DoesNotMoveWhereTheCriticIsTheTeacher) {
  auto options = options_of("tdm");
  auto still = settings();
  still["critic"]["optimizer"] = {{"learning_rate", 0.0}};
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options);
  const auto metrics = method_named("tdm", still)->start(small.training)->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), 0.0, 1e-12);
  EXPECT_NEAR(number(metrics, "matching_gap"), 0.0, 1e-12);
  EXPECT_GT(number(metrics, "critic_loss"), 0.0);
}

TEST(Tdm, LetsTheCriticGoAheadAlone) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options_of("tdm"));
  auto alone = settings();
  alone["critic"]["alone"] = 1;
  const auto run = method_named("tdm", alone)->start(small.training);
  run->iterate(0);
  EXPECT_EQ(small.training.policy.steps(), 0);
  EXPECT_EQ(small.training.roles.all().at(1)->name(), "critic");
  EXPECT_EQ(small.training.roles.all().at(1)->steps(), 1);
  run->iterate(1);
  EXPECT_EQ(small.training.policy.steps(), 1);
}

// The policy learns the teacher's steps first, and hands what it learnt to the critic.
TEST(Tdm, BeginsWithTheTeachersTrajectories) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options_of("tdm"));
  auto& t = small.training;
  const auto run =
      method_named("tdm", settings({{"regression", {{"iterations", 2}, {"passes", 2}}}}))->start(t);
  const auto first = run->iterate(0);
  EXPECT_GT(number(first, "regression_loss"), 0.0);
  EXPECT_TRUE(std::isnan(number(first, "critic_loss")));
  EXPECT_EQ(t.policy.steps(), 2);
  const auto& critic = *t.roles.all().at(1);
  EXPECT_FALSE(at::equal(critic.parameters().at("b"), t.policy.parameters().at("b")));
  run->iterate(1);
  EXPECT_TRUE(at::equal(critic.parameters().at("b"), t.policy.parameters().at("b")));
  EXPECT_FALSE(std::isnan(number(run->iterate(2), "critic_loss")));
}

// K states: K forwards to draw; for each a forward with gradient of the critic and of the policy, and without
// gradient the critic's and the teacher's two.
TEST(Tdm, IsCounted) {
  const auto count = count_method(*method_named("tdm", settings({{"guidance_scale", 2.0}})),
                                  options_of("tdm"), 0, [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_with_gradient, 8.0);
  EXPECT_EQ(count.forwards_of_rollout, 4.0);
  EXPECT_EQ(count.forwards_without, 12.0);
  ASSERT_EQ(count.roles.size(), 2u);
  EXPECT_TRUE(count.roles[1].learns);
}

TEST(FewStep, AScheduleWithAWastedStepIsRefused) {
  const TauOptions o;
  check_tau(o, {{1.0, 0.75, 0.5, 0.25, 0.0}});
  EXPECT_ERROR(check_tau(o, {{1.0, 0.667, 0.334, 0.001, 0.0}}), "/sampler/schedule");
}

TEST(Tdm, RefusesWhatItCannotDo) {
  auto options = options_of("tdm");
  const auto method = method_named("tdm", settings());
  method->check(options);
  options.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_sde");
  EXPECT_ERROR(method->check(options), "/sampler/name");
  options = options_of("tdm");
  options.sampler.guidance_scale = 2.0;
  EXPECT_ERROR(method->check(options), "/sampler/guidance_scale");
  EXPECT_ERROR(
      method_named("tdm", settings({{"regression", {{"iterations", 11}}}}))->check(options_of("tdm")),
      "/method/regression/iterations");
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options_of("tdm"));
  EXPECT_ERROR(method_named("tdm", settings({{"tau", {{"maximum", 0.76}}}}))->start(small.training),
               "/method/tau/margin");
}

}  // namespace
}  // namespace thalweg
