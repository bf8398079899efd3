// CRD against its formulas, on the small model.
#include <gtest/gtest.h>

#include <set>

#include "engine/losses/nft.h"
#include "pipelines/methods/matching.h"
#include "pipelines/plan/method_count.h"
#include "samplers/schedules/linear.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

constexpr double kClip = 5.0;

Json settings(Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 3}, {"group_size", 4},   {"updates", 1},
              {"times_per_sample", 1},      {"last_share", 1.0}, {"kl_beta", 0.0}};
  all.update(more);
  return all;
}

TrainingOptions options() {
  auto o = stochastic(5);  // cuts groups
  o.optimizer.learning_rate = 0.05;
  return o;
}

void push(Training& t) {
  for (int i = 0; i < 4; ++i)
    t.policy.step({{"b", at::full({1}, 1.0, at::kDouble)}, {"a", at::full({1}, -1.0, at::kDouble)}},
                  t.policy.rate_at(0, 10));
}

struct Sample {
  at::Tensor x_t, target, r;
};

// Drawn by `velocity`: the sampler's, whatever the policy is by now.
Sample first_sample(Training& t, const Velocity& velocity) {
  Metrics metrics;
  const auto drawn = draw_clean_latents(t, 0, {3, 4, 1}, velocity, metrics);
  std::vector<at::Tensor> batches;
  for (const auto& batch : drawn.batches) batches.push_back(batch.trajectory.x0_BCFHW);
  const auto x0 = at::cat(batches);
  std::vector<int64_t> slots(12);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int64_t>(i);
  const auto sigma =
      stratified_sigmas(t, 0, 4, 1, {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}).view({12, 1, 1, 1, 1});
  const auto noise = normal_noise(t.seed(), Purpose::training_noise, slots, 0, {1, 1, 2, 2}, at::kDouble);
  const auto A = advantages_of(drawn.scores.total, drawn.scores.group_B, {}, metrics).values_B;
  return {(1.0 - sigma) * x0 + sigma * noise, noise - x0, A / (2.0 * kClip) + 0.5};
}

// The whole loss with its means inside, in the parameters a and b; the weights are those of the point itself.
struct Coupled {
  double operator()(double a, double b) const {
    const auto error = [&](double slope, double offset, const at::Tensor& w) {
      return (slope * s.x_t + offset - s.target).square().flatten(1).mean(1) / w;
    };
    const auto r_th = error(a_old, b_old, weight(a_old, b_old)) - error(a, b, weight(a_now, b_now));
    const auto residual = beta * (r_th - r_th.mean()) - (s.r - s.r.mean());
    return residual.square().mean().item<double>() * kClip / beta;
  }
  at::Tensor weight(double a, double b) const { return (a * s.x_t + b - s.target).abs().flatten(1).mean(1); }

  const Sample& s;
  double a_old, b_old, a_now, b_now, beta;
};

TEST(Crd, GradientIsThatOfTheCoupledLoss) {
  for (const double beta : {1.0, 0.4}) {
    SmallTraining small(
        0.5, [](uint64_t) { return false; }, options());
    auto& t = small.training;
    const auto start = t.policy.velocity();
    const auto run = method_named("crd", settings({{"beta", beta}}))->start(t);
    const auto s = first_sample(t, start);
    push(t);
    const auto value = [&](const char* name) { return t.policy.parameters().at(name).item<double>(); };
    const double a = value("a"), b = value("b"), h = 1e-5;
    const Coupled coupled{s, 0.5, 0.1, a, b, beta};
    const double da = (coupled(a + h, b) - coupled(a - h, b)) / (2.0 * h);
    const double db = (coupled(a, b + h) - coupled(a, b - h)) / (2.0 * h);
    const auto metrics = run->iterate(0);
    EXPECT_NEAR(number(metrics, "policy_loss"), coupled(a, b), 1e-11);
    EXPECT_NEAR(number(metrics, "grad_norm"), std::hypot(da, db), 1e-7);
    EXPECT_GT(number(metrics, "grad_norm"), 1e-2);
    EXPECT_GT(number(metrics, "old_deviation"), 0.0);
    EXPECT_NE(number(metrics, "implicit_reward"), 0.0);
  }
}

// The reference is not guided by the small model, which knows no prompts: the penalty is the plain distance,
// more of it the better the sample.
TEST(Crd, ThePenaltyGrowsWithTheReward) {
  for (const double floor : {1.0, 0.25, 0.0}) {
    SmallTraining small(
        0.5, [](uint64_t) { return false; }, options());
    auto& t = small.training;
    const auto start = t.policy.velocity();
    const auto run = method_named("crd", settings({{"kl_beta", 0.5}, {"kl_floor", floor}}))->start(t);
    const auto s = first_sample(t, start);
    push(t);
    const auto kl = velocity_kl(t.policy.velocity()(s.x_t, {}, {}), 0.5 * s.x_t + 0.1).detach();
    const auto expected = ((floor + (1.0 - floor) * s.r) * kl).mean().item<double>();
    EXPECT_NEAR(number(run->iterate(0), "kl_loss"), expected, 1e-12) << floor;
  }
}

TEST(Crd, TwoSnapshotsFollowAtTheirOwnPace) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, options());
  auto& t = small.training;
  const auto run =
      method_named("crd", settings({{"old_policy", {{"initial", 0.5}, {"rate", 0.1}, {"maximum", 1.0}}},
                                    {"rollout_policy", {{"name", "none"}}}}))
          ->start(t);
  const auto metrics = run->iterate(0);
  EXPECT_EQ(number(metrics, "old_decay"), 0.6);
  EXPECT_EQ(number(metrics, "sampler_decay"), 0.0);
  const auto a = [&](size_t role) { return t.roles.all().at(role)->parameters().at("a").item<double>(); };
  ASSERT_NE(a(0), 0.5);
  EXPECT_NEAR(a(1), 0.6 * 0.5 + 0.4 * a(0), 1e-12);
  EXPECT_EQ(a(2), a(0));
}

// The samples of a group have the same levels, one in each part of the steps; other groups have others.
TEST(Crd, ComparesAGroupAtOneLevel) {
  auto o = options();
  o.sampler.steps = 20;
  o.parallel.micro_batch = 4;
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, o);
  const auto& model = dynamic_cast<const SmallModel&>(*small.training.model);
  method_named("crd", settings({{"times_per_sample", 2}}))->start(small.training)->iterate(0);
  ASSERT_EQ(model.trained_sigmas.size(), 3u * 2u);  // a micro-batch a group, twice each
  std::set<double> all;
  for (size_t call = 0; call < model.trained_sigmas.size(); ++call) {
    const auto& sigmas = model.trained_sigmas[call];
    EXPECT_EQ(std::set<double>(sigmas.begin(), sigmas.end()).size(), 1u);
    EXPECT_EQ(sigmas[0] > 0.5, call % 2 == 0);
    all.insert(sigmas[0]);
  }
  EXPECT_GT(all.size(), 3u);
}

TEST(Crd, IsCountedByItsFormula) {
  const auto count = [](Json more) {
    return count_method(*method_named("crd", settings(std::move(more))), stochastic(), 0,
                        [](int64_t steps) { return linear_schedule(steps); });
  };
  EXPECT_EQ(count(Json::object()).forwards_with_gradient, 1.0);
  EXPECT_EQ(count(Json::object()).forwards_without, 2.0);            // policy, old
  EXPECT_EQ(count({{"kl_beta", 0.1}}).forwards_without, 2.0 + 2.0);  // and the guided teacher, two rows
  EXPECT_EQ(count({{"kl_beta", 0.1}, {"kl_guidance", 1.0}}).forwards_without, 2.0 + 1.0);
  EXPECT_EQ(count(Json::object()).roles.size(), 3u);
}

TEST(Crd, RefusesWhatItCannotDo) {
  EXPECT_ERROR(method_named("crd", settings({{"times_per_sample", 5}}))->check(stochastic()),
               "/method/times_per_sample");
  EXPECT_ERROR(method_named("crd", settings({{"last_share", 0.1}}))->check(stochastic()),
               "/method/last_share");
  EXPECT_ERROR(method_named("crd", settings({{"beta", 0.0}})), "/method/beta");
  EXPECT_ERROR(method_named("crd", settings({{"kl_floor", 1.5}})), "/method/kl_floor");
  EXPECT_ERROR(method_named("crd", settings({{"old_policy", {{"name", "early"}}}})),
               "/method/old_policy/name");
}

}  // namespace
}  // namespace thalweg
