// The clean-latent loop: what is drawn for whom, what a pass without gradients says, how samples are coupled.
#include "pipelines/methods/matching.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <set>

#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/few_step.h"
#include "pipelines/methods/lag.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

const GroupPlan kPlan{3, 4, 1};

struct Loop {
  explicit Loop(
      int64_t micro_batch = 12, std::function<bool(uint64_t)> fails = [](uint64_t) { return false; })
      : small(0.5, std::move(fails), stochastic(micro_batch)) {
    Metrics metrics;
    drawn = draw_clean_latents(small.training, 0, kPlan, small.training.policy.velocity(), metrics);
  }
  Matching matching(int64_t times = 2) {
    return {.times = times,
            .sigmas_TB =
                [this, times](const auto& slot_B) {
                  return shuffled_sigmas(small.training, schedule_levels(small.training), times, slot_B);
                },
            .loss =
                [](const Noising& n, const Share&) {
                  const auto l_B = velocity_kl(n.v, n.target());
                  return StepLoss{.policy_B = [l_B](const at::Tensor& A) { return A * l_B; },
                                  .measures = {{"matching_loss", l_B.detach()}}};
                }};
  }
  Metrics train(const Matching& matching, const GroupPlan& plan = kPlan) {
    const auto aggregator = AdvantageOptions{}.start(small.training);
    Metrics metrics;
    const auto advantages = aggregator->advantages(drawn.scores, metrics);
    train_on_clean_latents(small.training, drawn.batches, plan, advantages, *aggregator, matching, 0,
                           metrics);
    return metrics;
  }
  double parameter(const char* name) const {
    return small.training.policy.parameters().at(name).item<double>();
  }
  Update update(int64_t index, const GroupPlan& plan) const {
    return update_of(drawn.batches, plan, index, at::ones({12}, at::kBool));
  }

  SmallTraining small;
  Rollout drawn;
};

// The rows of the only micro-batch in another order.
void permute(Loop& loop, const std::vector<int64_t>& order) {
  auto& batch = loop.drawn.batches.at(0);
  const auto index = at::tensor(order, at::kLong);
  const auto rows = batch.rows;
  for (size_t i = 0; i < order.size(); ++i) batch.rows[i] = rows[static_cast<size_t>(order[i])];
  batch.trajectory.x0_BCFHW = batch.trajectory.x0_BCFHW.index_select(0, index);
  batch.rewards.values_BK = batch.rewards.values_BK.index_select(0, index);
  batch.rewards.valid_BK = batch.rewards.valid_BK.index_select(0, index);
  Metrics metrics;
  loop.drawn.scores = score(loop.small.training, loop.drawn.batches, metrics);
}

TEST(CleanLatents, APermutedBatchHasTheSameGradient) {
  Loop whole, permuted;
  std::vector<int64_t> order(12);
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + 5, order.end());
  std::swap(order[0], order[7]);
  const auto first = permuted.drawn.batches.at(0).trajectory.x0_BCFHW.clone();
  permute(permuted, order);
  ASSERT_FALSE(at::equal(first, permuted.drawn.batches.at(0).trajectory.x0_BCFHW));
  const auto a = whole.train(whole.matching()), b = permuted.train(permuted.matching());
  EXPECT_GT(number(a, "grad_norm"), 1e-3);
  EXPECT_NEAR(number(a, "grad_norm"), number(b, "grad_norm"), 1e-12);
  EXPECT_NEAR(number(a, "policy_loss"), number(b, "policy_loss"), 1e-12);
  for (const char* name : {"a", "b"}) EXPECT_NEAR(whole.parameter(name), permuted.parameter(name), 1e-12);
}

std::vector<at::Tensor> errors_of(Loop& loop, const Matching& matching, const Update& update) {
  const auto policy = loop.small.training.policy.velocity();
  return measure_noisings(loop.small.training, kPlan, matching, update, 0, 2, [&](const Noising& n) {
    return std::vector<at::Tensor>{velocity_kl(n.answer(policy), n.target()), n.sigma_B};
  });
}

// What the pass without gradients says is what the update then sees, noising by noising.
TEST(CleanLatents, MeasuresTheNoisingsOfTheUpdate) {
  for (const bool of_group : {false, true})
    for (const int64_t micro_batch : {12, 5}) {
      Loop loop(micro_batch);
      auto matching = loop.matching(3);
      matching.of_group = of_group;
      const auto told = errors_of(loop, matching, loop.update(0, kPlan));
      ASSERT_EQ(told[0].sizes(), at::IntArrayRef({3, 12}));
      EXPECT_FALSE(told[0].requires_grad());
      auto seen = at::zeros({3, 12}, at::kDouble);
      matching.loss = [&, inner = matching.loss](const Noising& n, const Share& share) {
        share.rows(seen, 1)[n.index].copy_(velocity_kl(n.v.detach(), n.target()));
        EXPECT_TRUE(at::equal(share.rows(told[1], 1)[n.index], n.sigma_B));
        return inner(n, share);
      };
      const auto metrics = loop.train(matching);
      EXPECT_TRUE(at::allclose(seen, told[0], 0.0, 1e-13));
      EXPECT_NEAR(number(metrics, "matching_loss"), told[0].mean().item<double>(), 1e-12);
    }
}

TEST(CleanLatents, RowsOfOtherUpdatesAreZero) {
  Loop loop(4);
  const GroupPlan two{3, 4, 2};
  const auto told = errors_of(loop, loop.matching(), loop.update(1, two));  // groups 1 and 2
  EXPECT_EQ(told[0].slice(1, 0, 4).abs().max().item<double>(), 0.0);
  EXPECT_GT(told[0].slice(1, 4).min().item<double>(), 0.0);
  const auto group_B = groups_of(loop.update(1, two));
  EXPECT_TRUE(at::equal(group_B, at::tensor({0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, at::kLong)));
}

TEST(CleanLatents, AGroupMayShareItsNoiseAndLevels) {
  for (const bool of_group : {false, true}) {
    Loop loop(5);
    auto matching = loop.matching();
    matching.of_group = of_group;
    const auto told = measure_noisings(
        loop.small.training, kPlan, matching, loop.update(0, kPlan), 0, 2, [](const Noising& n) {
          return std::vector<at::Tensor>{n.noise.flatten(1).select(1, 0), n.sigma_B};
        });
    for (const auto& number : told) {
      const auto groups = number.view({2, 3, 4});
      EXPECT_EQ(at::equal(groups, groups.slice(2, 0, 1).expand_as(groups)), of_group);
    }
    const auto noise = told[0].view({2, 3, 4}).select(2, 0);
    EXPECT_EQ(std::get<0>(at::_unique(noise)).numel(), 6);  // groups and noisings differ
  }
}

// A loss that couples its samples gives each noising a coefficient of its own.
TEST(CleanLatents, CoefficientsTakeTheAdvantagesPlace) {
  for (const int64_t micro_batch : {12, 5, 1}) {
    Loop loop(micro_batch);
    auto matching = loop.matching(2);
    const auto told = errors_of(loop, matching, loop.update(0, kPlan))[0];
    const auto coefficient = at::arange(24, at::kDouble).view({2, 12}) - 7.0;
    int64_t asked = 0;
    matching.prepare = [&](const UpdateNoisings& all, std::vector<Head>& heads, Metrics&) {
      ++asked;
      EXPECT_EQ(all.update.index, 0);
      EXPECT_EQ(heads.size(), 1u);
      heads[0].advantage_B = coefficient;
    };
    const auto metrics = loop.train(matching);
    EXPECT_EQ(asked, 1);
    EXPECT_NEAR(number(metrics, "policy_loss"), (coefficient * told).mean().item<double>(), 1e-11);
  }
}

TEST(CleanLatents, AMaskedSampleIsMeasuredOnLatentsOfZero) {
  Loop loop(4, [](uint64_t id) { return id % 12 == 5; });
  loop.drawn.batches.at(1).trajectory.x0_BCFHW[1].fill_(std::nan(""));
  auto used = at::ones({12}, at::kBool);
  used[5] = false;
  const auto told = errors_of(loop, loop.matching(), update_of(loop.drawn.batches, kPlan, 0, used));
  EXPECT_TRUE(told[0].isfinite().all().item<bool>());
  EXPECT_TRUE(std::isfinite(number(loop.train(loop.matching()), "grad_norm")));
}

TEST(LevelOptions, NeedALevelForEachNoising) {
  const auto check = [](LevelOptions options, int64_t steps) { options.check(steps); };
  EXPECT_NO_THROW(check({4, 1.0}, 4));
  EXPECT_NO_THROW(check({7, 0.7}, 10));
  EXPECT_ERROR(check({8, 0.7}, 10), "/method/times_per_sample");
  EXPECT_ERROR(check({1, 0.09}, 10), "/method/last_share");
}

TEST(Lag, OfANameIsItsFormula) {
  const auto at = [](Lag lag, std::vector<int64_t> steps) {
    std::vector<double> all;
    for (const auto n : steps) all.push_back(lag.at(n));
    return all;
  };
  EXPECT_EQ(at({.initial = 0.25, .rate = 0.005, .start = 2, .maximum = 0.27}, {1, 2, 3, 100}),
            (std::vector<double>{0.25, 0.25, 0.255, 0.27}));
  EXPECT_EQ(at({.name = "none"}, {0, 1, 1000}), (std::vector<double>{0.0, 0.0, 0.0}));
  EXPECT_EQ(at({.name = "slow"}, {0, 1, 500, 1000}), (std::vector<double>{0.0, 0.001, 0.5, 0.5}));
  EXPECT_EQ(at({.name = "late"}, {75, 76, 1000}), (std::vector<double>{0.0, 0.0075, 0.999}));
}

// A job file from before the presets says no name.
TEST(Lag, WithoutANameIsARamp) {
  Lag lag;
  const auto describe_lag = [&](Fields& f) { describe(f, {"old_policy", ""}, lag); };
  read_fields({{"old_policy", {{"rate", 0.02}, {"start", 3}, {"maximum", 0.5}}}}, "", describe_lag);
  EXPECT_EQ(lag.name, "ramp");
  EXPECT_EQ(lag.rate, 0.02);
  EXPECT_EQ(lag.start, 3);
  read_fields({{"old_policy", {{"name", "late"}}}}, "", describe_lag);
  EXPECT_EQ(lag.at(76), 0.0075);
  EXPECT_ERROR(read_fields({{"old_policy", {{"name", "late"}, {"rate", 0.1}}}}, "", describe_lag),
               "/old_policy/rate");
  EXPECT_ERROR(read_fields({{"old_policy", {{"name", "lat"}}}}, "", describe_lag), "/old_policy/name");
}

// A state is noised along its own path, whose velocity is the target; the end of the last step is the clean
// latents.
TEST(Matching, StatesAreNoisedAlongTheirPath) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, stochastic(12));
  auto& t = small.training;
  Metrics metrics;
  const auto batches =
      draw_groups(t, 0, kPlan, t.policy.velocity(), [](const SamplerInput& in) { return walk(in); });
  const auto used_B = at::ones({12}, at::kBool);
  const auto update = update_of(batches, kPlan, 0, used_B);
  const auto look = [&](int64_t k, bool states, const NoisingMeasure& measure) {
    Matching matching{.sigmas_TB = [](const auto& slot_B) {
      return at::full({1, static_cast<int64_t>(slot_B.size())}, 0.8, at::kDouble);
    }};
    if (states)
      matching.steps_TB = [k](const auto& slot_B) {
        return at::full({1, static_cast<int64_t>(slot_B.size())}, k, at::kLong);
      };
    return measure_noisings(t, kPlan, matching, update, 0, 1, measure)[0];
  };
  for (const int64_t k : {0, 1, 3}) {
    look(k, true, [&](const Noising& n) {
      const double s = t.schedule.sigmas[static_cast<size_t>(k) + 1], al = 0.2 / (1.0 - s),
                   be = std::sqrt(0.64 - al * al * s * s);
      const auto& state = n.batch.trajectory.next_latents[static_cast<size_t>(k)];
      EXPECT_TRUE(at::allclose(n.x_t, al * state + be * n.noise, 0.0, 1e-12));
      EXPECT_TRUE(at::allclose(
          n.target(), n.noise * ((0.8 + al * s * s / (1.0 - s)) / be) - state / (1.0 - s), 0.0, 1e-12));
      EXPECT_TRUE(at::equal(n.k_B, at::full_like(n.k_B, k)));
      return std::vector<at::Tensor>{n.target().flatten(1).mean(1)};
    });
  }
  const auto mean = [](const Noising& n) { return std::vector<at::Tensor>{n.target().flatten(1).mean(1)}; };
  EXPECT_TRUE(at::allclose(look(3, true, mean), look(3, false, mean), 0.0, 1e-12));
}

// Each pass has noisings of its own; the role that is named learns, and no other.
TEST(Matching, PassesAndRoles) {
  Loop loop;
  auto& t = loop.small.training;
  auto& other = t.roles.add("other", t.space, leaves(cloned(t.policy.parameters())),
                            Learning{loop.small.options.optimizer, 0.0});
  auto matching = loop.matching(2);
  std::mutex mutex;
  std::set<double> sums;
  matching.passes = 2;
  matching.role = &other;
  matching.sigmas_TB = [&](const auto& slot_B) { return shuffled_sigmas(t, schedule_levels(t), 4, slot_B); };
  matching.loss = [&, of = matching.loss](const Noising& n, const Share& share) {
    const std::lock_guard lock(mutex);
    sums.insert(n.noise.sum().item<double>());
    return of(n, share);
  };
  loop.train(matching);
  EXPECT_EQ(sums.size(), 4u);
  EXPECT_EQ(other.steps(), 2);
  EXPECT_EQ(t.policy.steps(), 0);
}

}  // namespace
}  // namespace thalweg
