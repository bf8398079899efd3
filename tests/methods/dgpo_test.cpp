// DGPO against its formulas, on the small model.
#include <gtest/gtest.h>

#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/matching.h"
#include "pipelines/plan/method_count.h"
#include "samplers/schedules/linear.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

const GroupPlan kPlan{3, 4, 1};
constexpr int64_t kTimes = 2;

Json settings(Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 3},
              {"group_size", 4},
              {"updates", 1},
              {"times_per_sample", 2},
              {"last_share", 1.0},
              {"kl_beta", 0.0},
              {"clip_range", 10.0},
              {"base_limit", 0.0},
              {"beta", 30.0},
              {"average", {{"name", "ramp"}, {"rate", 1.0}, {"maximum", 1.0}}}};
  all.update(more);
  return all;
}

// A policy that has moved away from its base and its average (which stands still at decay 1).
struct Moved {
  explicit Moved(double push = 1.0)
      : small(
            0.5, [](uint64_t) { return false; }, options()) {
    start = cloned(t().policy.parameters());
    for (int i = 0; push != 0.0 && i < 4; ++i)
      t().policy.step({{"b", at::full({1}, push, at::kDouble)}, {"a", at::full({1}, -push, at::kDouble)}},
                      t().policy.rate_at(0, 10));
  }
  static TrainingOptions options() {
    auto o = stochastic(5);
    o.optimizer.learning_rate = 0.05;
    return o;
  }
  Training& t() { return small.training; }

  SmallTraining small;
  TensorMap start;
};

struct Sample {
  std::vector<at::Tensor> x_t, target;  // of each noising
  at::Tensor A;
};

Sample first_sample(Training& t) {
  Metrics metrics;
  const auto drawn = draw_clean_latents(t, 0, kPlan, t.policy.velocity(), metrics);
  std::vector<at::Tensor> x0;
  for (const auto& batch : drawn.batches) x0.push_back(batch.trajectory.x0_BCFHW);
  const std::vector<int64_t> slots = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2};
  const auto sigmas = shuffled_sigmas(t, schedule_levels(t), kTimes, slots);
  Sample s;
  for (int64_t i = 0; i < kTimes; ++i) {
    const auto noise = normal_noise(t.seed(), Purpose::training_noise, slots, static_cast<uint64_t>(i),
                                    {1, 1, 2, 2}, at::kDouble);
    const auto sigma = sigmas[i].view({-1, 1, 1, 1, 1});
    s.x_t.push_back((1.0 - sigma) * at::cat(x0) + sigma * noise);
    s.target.push_back(noise - at::cat(x0));
  }
  s.A = advantages_of(drawn.scores.total, drawn.scores.group_B, {}, metrics).values_B;
  return s;
}

at::Tensor errors(const Training& t, const Sample& s, const TensorMap& parameters) {
  std::vector<at::Tensor> l;
  for (size_t i = 0; i < s.x_t.size(); ++i)
    l.push_back(velocity_kl(t.space.bind(parameters)(s.x_t[i], {}, {}), s.target[i]));
  return at::stack(l);
}

// w of each sample by loops over groups, for S = mean A beta (l - lref).
at::Tensor group_weights(const at::Tensor& l, const at::Tensor& l_ref, const at::Tensor& A, double beta) {
  auto w = at::zeros_like(l);
  for (int64_t i = 0; i < kTimes; ++i)
    for (int64_t g = 0; g < 3; ++g) {
      double S = 0.0;
      for (int64_t b = 4 * g; b < 4 * g + 4; ++b)
        S += A[b].item<double>() * beta * (l[i][b] - l_ref[i][b]).item<double>() / 4.0;
      w[i].slice(0, 4 * g, 4 * g + 4).fill_(1.0 / (1.0 + std::exp(-S)));
    }
  return w;
}

double norm_of(const at::Tensor& loss, const TensorMap& parameters) {
  auto gradients = gradients_of(loss, parameters);
  return clip_gradients(gradients, 1e9);
}

TEST(Dgpo, StartsAsHalfTheAdvantageWeightedMatching) {
  Moved moved(0.0);
  auto& t = moved.t();
  const auto s = first_sample(t);
  const auto l = errors(t, s, t.policy.parameters());
  const double expected = norm_of((0.5 * s.A * l).mean(), t.policy.parameters());
  const auto metrics = method_named("dgpo", settings())->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), expected, 1e-12);
  EXPECT_NEAR(number(metrics, "policy_loss"), (0.5 * s.A * l).mean().item<double>(), 1e-12);
  EXPECT_NEAR(number(metrics, "matching_loss"), l.mean().item<double>(), 1e-12);
  EXPECT_NEAR(number(metrics, "group_weight"), 0.5, 1e-15);
  EXPECT_NEAR(number(metrics, "ratio"), 1.0, 1e-15);
  EXPECT_EQ(number(metrics, "clipfrac"), 0.0);
  EXPECT_EQ(number(metrics, "base_clipfrac"), 0.0);
}

// Micro-batches of 5 cut groups of 4: the weight is that of the whole group all the same.
TEST(Dgpo, WeighsEachGroupByItsPreference) {
  Moved moved;
  auto& t = moved.t();
  const auto s = first_sample(t);
  const auto l = errors(t, s, t.policy.parameters());
  const auto w = group_weights(l.detach(), errors(t, s, moved.start).detach(), s.A, 30.0);
  ASSERT_GT((w - 0.5).abs().max().item<double>(), 0.1);
  const double expected = norm_of((w * s.A * l).mean(), t.policy.parameters());
  const auto metrics = method_named("dgpo", settings())->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), expected, 1e-12);
  EXPECT_NEAR(number(metrics, "group_weight"), w.mean().item<double>(), 1e-12);
}

// The average starts as the policy here, which is not the base any more; it stands still.
TEST(Dgpo, TheReferenceMayBeTheAverage) {
  Moved moved;
  auto& t = moved.t();
  const auto method = method_named("dgpo", settings({{"reference", "average"}}));
  EXPECT_NEAR(number(method->start(t)->iterate(0), "group_weight"), 0.5, 1e-15);
  Moved other;
  EXPECT_GT(
      std::fabs(number(method_named("dgpo", settings())->start(other.t())->iterate(0), "group_weight") - 0.5),
      1e-4);
}

// Each guard alone takes samples out of the gradient; the weights do not change.
TEST(Dgpo, ClipsWhatIsPastItsRange) {
  Moved moved(0.0);
  auto& t = moved.t();
  const auto run =
      method_named("dgpo", settings({{"clip_range", 1e-3}}))->start(t);  // the average is the start
  for (int i = 0; i < 4; ++i)
    t.policy.step({{"b", at::full({1}, 1.0, at::kDouble)}, {"a", at::full({1}, -1.0, at::kDouble)}},
                  t.policy.rate_at(0, 10));
  const auto s = first_sample(t);
  const auto l = errors(t, s, t.policy.parameters());
  const auto l_old = errors(t, s, moved.start).detach();
  const auto rho = (l_old - l.detach()).exp();
  const auto clipped =
      at::logical_or(at::logical_and(s.A > 0, rho > 1.001), at::logical_and(s.A < 0, rho < 0.999));
  const double share = clipped.to(at::kDouble).mean().item<double>();
  ASSERT_GT(share, 0.1);
  ASSERT_LT(share, 0.9);
  const auto w = group_weights(l.detach(), l_old, s.A, 30.0);
  const double expected = norm_of(at::where(clipped, 0.0, w * s.A * l).mean(), t.policy.parameters());
  const auto metrics = run->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), expected, 1e-12);
  EXPECT_NEAR(number(metrics, "clipfrac"), share, 1e-12);
  EXPECT_NEAR(number(metrics, "ratio"), rho.mean().item<double>(), 1e-12);
}

TEST(Dgpo, GoesNoFurtherFromTheBaseThanItsLimit) {
  Moved moved;
  auto& t = moved.t();
  const auto s = first_sample(t);
  const auto l = errors(t, s, t.policy.parameters());
  const auto l_base = errors(t, s, moved.start).detach();
  std::vector<at::Tensor> distances;
  for (const auto& x_t : s.x_t)
    distances.push_back(velocity_kl(t.space.bind(t.policy.parameters())(x_t, {}, {}),
                                    t.space.bind(moved.start)(x_t, {}, {})));
  const auto distance = at::stack(distances).detach();
  const double limit = distance.median().item<double>();
  const auto away = at::logical_or(at::logical_and(s.A > 0, l < l_base), at::logical_and(s.A<0, l> l_base));
  const auto far = at::logical_and(distance > limit, away);
  ASSERT_GT(far.to(at::kDouble).sum().item<double>(), 1.0);
  ASSERT_GT((away.to(at::kDouble) - far.to(at::kDouble)).sum().item<double>(), 1.0);
  const auto w = group_weights(l.detach(), l_base, s.A, 30.0);
  const double expected = norm_of(at::where(far, 0.0, w * s.A * l).mean(), t.policy.parameters());
  const auto metrics = method_named("dgpo", settings({{"base_limit", limit}}))->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), expected, 1e-12);
  EXPECT_NEAR(number(metrics, "base_clipfrac"), far.to(at::kDouble).mean().item<double>(), 1e-12);
}

TEST(Dgpo, ThePenaltyIsTheDistanceToTheBase) {
  Moved moved;
  auto& t = moved.t();
  const auto s = first_sample(t);
  at::Tensor distance = at::zeros({}, at::kDouble);
  for (const auto& x_t : s.x_t)
    distance = distance + velocity_kl(t.space.bind(t.policy.parameters())(x_t, {}, {}),
                                      t.space.bind(moved.start)(x_t, {}, {}))
                              .mean();
  const auto metrics = method_named("dgpo", settings({{"kl_beta", 0.5}}))->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "kl_loss"), distance.item<double>() / static_cast<double>(kTimes), 1e-12);
}

TEST(Dgpo, TheAverageFollowsEachStep) {
  for (const int64_t updates : {1, 3}) {
    Moved moved(0.0);
    auto& t = moved.t();
    const auto run =
        method_named("dgpo",
                     settings({{"updates", updates}, {"average", {{"rate", 0.25}, {"maximum", 1.0}}}}))
            ->start(t);
    run->iterate(0);
    ASSERT_EQ(t.policy.steps(), updates);
    const auto& average = *t.roles.all().at(1);
    EXPECT_EQ(average.name(), "average");
    const auto a = [](const Role& role) { return role.parameters().at("a").item<double>(); };
    const double last = 0.25 * static_cast<double>(updates),
                 followed = last * 0.5 + (1.0 - last) * a(t.policy);
    EXPECT_EQ(std::fabs(a(average) - followed) < 1e-12, updates == 1);  // of three steps it followed each
    const double shown = a(average);
    run->iterate(1);  // decay 0.5; after three steps it stands still
    EXPECT_NEAR(a(average), updates == 1 ? 0.5 * shown + 0.5 * a(t.policy) : shown, 1e-12);
  }
}

// A stop gives up an iteration before its first step: nothing may have changed by then.
TEST(Dgpo, AStopLeavesTheAverageAsItWas) {
  Moved moved(0.0);
  auto& t = moved.t();
  const auto run =
      method_named("dgpo", settings({{"average", {{"rate", 0.25}, {"maximum", 1.0}}}}))->start(t);
  run->iterate(0);
  const auto& average = *t.roles.all().at(1);
  const double before = average.parameters().at("a").item<double>();
  int64_t asked = 0;  // by the rollout's three micro-batches, then by the update
  moved.small.observer.stop_requested = [&] { return ++asked > 3; };
  EXPECT_THROW(run->iterate(1), Stopped);
  EXPECT_GT(asked, 3);
  EXPECT_EQ(average.parameters().at("a").item<double>(), before);
}

// After so many steps the average draws: it stands still at decay 1, so rollouts stay those of the start.
TEST(Dgpo, TheAverageMayDraw) {
  const auto reward = [](int64_t after) {
    Moved moved(0.0);
    auto& t = moved.t();
    const auto run = method_named("dgpo", settings({{"average_rollouts_after", after}}))->start(t);
    std::vector<double> rewards;
    for (int64_t i = 0; i < 3; ++i) rewards.push_back(number(run->iterate(i), "reward"));
    return rewards;
  };
  const auto policy = reward(1000), average = reward(0);
  ASSERT_FALSE(std::isnan(policy[0]));
  EXPECT_EQ(policy[0], average[0]);
  EXPECT_NE(policy[1], average[1]);
}

TEST(Dgpo, IsCountedByItsFormula) {
  const auto count = [](Json more) {
    return count_method(*method_named("dgpo", settings(std::move(more))), stochastic(), 0,
                        [](int64_t steps) { return linear_schedule(steps); });
  };
  EXPECT_EQ(count(Json::object()).forwards_with_gradient, 2.0);
  EXPECT_EQ(count(Json::object()).forwards_without, 2.0 * 3.0);  // policy, average, base
  EXPECT_EQ(count({{"reference", "average"}}).forwards_without, 2.0 * 2.0);
  EXPECT_EQ(count({{"kl_beta", 0.1}}).forwards_without, 2.0 * 4.0);
  EXPECT_EQ(count({{"base_guidance", 2.0}}).forwards_without, 2.0 * 4.0);  // the base asks for two rows
}

TEST(Dgpo, RefusesWhatItCannotDo) {
  EXPECT_ERROR(method_named("dgpo", settings({{"times_per_sample", 5}}))->check(stochastic()),
               "/method/times_per_sample");
  EXPECT_ERROR(method_named("dgpo", settings({{"last_share", 0.1}}))->check(stochastic()),
               "/method/last_share");
  EXPECT_ERROR(method_named("dgpo", settings({{"reference", "bas"}})), "/method/reference");
  EXPECT_ERROR(method_named("dgpo", settings({{"clip_range", 0.0}})), "/method/clip_range");
  EXPECT_ERROR(method_named("dgpo", settings({{"beta", -1.0}})), "/method/beta");
}

}  // namespace
}  // namespace thalweg
