// The transition loop on the small model: what the ratio is anchored to, which samples are kept, what the
// policy is held against.
#include <gtest/gtest.h>

#include "engine/losses/grpo.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/replay_method.h"
#include "pipelines/methods/stored_step.h"
#include "pipelines/plan/method_count.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

constexpr GroupPlan kPlan{3, 4, 3};

TrainingOptions fast() {
  auto o = stochastic();
  o.optimizer.learning_rate = 0.05;
  return o;
}

// A replayed step as the loss was given it, with the parameters of the policy at that time.
struct Seen {
  int64_t update = 0;
  double dt = 0.0;
  at::Tensor x, next, log_prob_B, old_log_prob_B, old_mean, rollout_log_prob_B, e;
  KernelStep kernel;
};

// An iteration of Flow-GRPO's loss whose every step is written down.
struct Watched {
  explicit Watched(const std::string& anchor, TrainingOptions options = fast())
      : small(
            0.5, [](uint64_t) { return false; }, std::move(options)) {
    auto& t = small.training;
    start = cloned(t.policy.parameters());
    const auto window = step_window(t.options.sampler, t.seed(), 0);
    drawn = draw_transitions(t, 0, kPlan, window, trained_steps(window, t.options.sampler.steps), metrics);
    const auto aggregator = AdvantageOptions{}.start(small.training);
    Replay replay{.options = {.anchor = anchor},
                  .log_prob = gaussian,
                  .loss = [this](const Replayed& r, const Share& share) { return seen_loss(r, share); }};
    train_on_transitions(t, drawn, kPlan, aggregator->advantages(drawn.scores, metrics), *aggregator, replay,
                         0, metrics);
  }

  StepLoss seen_loss(const Replayed& r, const Share& share) {
    const auto& t = small.training;
    const SamplerInput in{{}, {}, {}, {}, r.step.slot_B, t.seed()};
    steps.push_back({.update = share.begin / kPlan.group_size,
                     .dt = r.dt,
                     .x = r.x,
                     .next = r.next,
                     .log_prob_B = r.log_prob_B.detach(),
                     .old_log_prob_B = r.old_log_prob_B,
                     .old_mean = r.old_mean(),
                     .rollout_log_prob_B = share.batch.trajectory.log_probs_TB[static_cast<int64_t>(r.index)],
                     .e = transition_noise(in, r.x, r.step),
                     .kernel = r.step.kernel});
    return {.policy_B = [log_prob_B = r.log_prob_B, old_B = r.old_log_prob_B](const at::Tensor& a) {
      return grpo_loss(log_prob_B, old_B, a, 10.0).loss_B;
    }};
  }

  // Of the policy that drew the samples, by hand: v = a x + b.
  Transition before(const Seen& s) const {
    return transition(s.x, start.at("a").detach() * s.x + start.at("b").detach(), s.kernel);
  }

  SmallTraining small;
  TensorMap start;
  Metrics metrics;
  Transitions drawn;
  std::vector<Seen> steps;
};

TEST(Anchor, RecomputedIsThePolicyBeforeTheUpdates) {
  const Watched w("recomputed");
  ASSERT_EQ(w.steps.size(), 3u * 3u);  // updates, trained steps
  for (const auto& s : w.steps) {
    SCOPED_TRACE("update " + std::to_string(s.update));
    const auto before = w.before(s);
    EXPECT_TRUE(at::allclose(s.old_mean, before.mean_BCFHW, 0.0, 1e-14));
    EXPECT_TRUE(at::allclose(s.old_log_prob_B, log_prob(s.next, before, gaussian), 0.0, 1e-13));
    EXPECT_FALSE(s.old_mean.requires_grad() || s.old_log_prob_B.requires_grad());
    if (s.update == 0)
      EXPECT_TRUE(at::equal(s.log_prob_B, s.old_log_prob_B));  // the ratio is 1, and not nearly 1
    else
      EXPECT_GT((s.log_prob_B - s.old_log_prob_B).abs().min().item<double>(), 1e-6);
  }
}

TEST(Anchor, OfTheRolloutIsWhatItDrewWith) {
  const Watched w("rollout");
  ASSERT_EQ(w.steps.size(), 3u * 3u);
  for (const auto& s : w.steps) {
    EXPECT_TRUE(at::equal(s.old_log_prob_B, s.rollout_log_prob_B));
    EXPECT_TRUE(at::allclose(s.old_mean, w.before(s).mean_BCFHW, 0.0, 1e-14)) << s.update;
    EXPECT_TRUE(at::allclose(s.next, s.old_mean + s.kernel.std * s.e, 0.0, 1e-14));
    EXPECT_GT(s.kernel.std, 0.1);
  }
}

TEST(Anchor, BothTrainAlike) {
  const Watched a("recomputed"), b("rollout");
  for (const char* name : {"a", "b"})
    EXPECT_NEAR(a.small.training.policy.parameters().at(name).item<double>(),
                b.small.training.policy.parameters().at(name).item<double>(), 1e-12);
}

// Two forwards a trained step where the update is a later one: three updates cost 1 + 2/3.
TEST(Anchor, RecomputedIsCounted) {
  const auto schedule = [](int64_t steps) { return linear_schedule(steps); };
  const auto without = [&](int64_t updates, const char* anchor) {
    const auto method = method_named(
        "flow_grpo",
        {{"prompts_per_iteration", 3}, {"group_size", 4}, {"updates", updates}, {"anchor", anchor}});
    return count_method(*method, stochastic(), 0, schedule).forwards_without;
  };
  EXPECT_EQ(without(3, "rollout"), 0.0);
  EXPECT_EQ(without(1, "recomputed"), 0.0);
  EXPECT_NEAR(without(3, "recomputed"), 3.0 * 2.0 / 3.0, 1e-12);
}

Trajectory noted(const SamplerInput& in, std::vector<at::Tensor>& starts) {
  starts.push_back(in.x_BCFHW);
  return sample_transitions(in, euler);
}

TEST(SameNoise, IsOneDrawAGroupWhateverTheMicroBatch) {
  std::vector<at::Tensor> all;
  for (const int64_t micro_batch : {4, 3, 12}) {
    SmallTraining small(
        0.0, [](uint64_t) { return false; }, stochastic(micro_batch));
    std::vector<at::Tensor> starts;
    draw_groups(small.training, 2, {3, 4, 1, /*same_noise=*/true}, small.training.policy.velocity(),
                [&](const SamplerInput& in) { return noted(in, starts); });
    all.push_back(at::cat(starts).flatten(1).view({3, 4, 4}));
  }
  EXPECT_TRUE(at::equal(all[0], all[1]) && at::equal(all[0], all[2]));
  EXPECT_TRUE(at::equal(all[0], all[0].slice(1, 0, 1).expand_as(all[0])));
  for (int64_t i = 0; i < 3; ++i) EXPECT_FALSE(at::equal(all[0][i], all[0][(i + 1) % 3]));  // groups differ
}

TEST(SameNoise, SamplesOfAGroupStillDiffer) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, stochastic());
  auto& t = small.training;
  Metrics metrics;
  const auto drawn = draw_transitions(t, 0, {3, 4, 1, true}, {0, 4}, {0, 1}, metrics);
  const auto& batch = drawn.batches[0];
  EXPECT_TRUE(at::equal(batch.trajectory.latents[0][0], batch.trajectory.latents[0][1]));
  EXPECT_GT((batch.trajectory.x0_BCFHW[0] - batch.trajectory.x0_BCFHW[1]).abs().min().item<double>(), 1e-3);
  EXPECT_GT(number(metrics, "reward"), 0.0);
}

TEST(SameNoise, IsRefusedWhereAllSamplesWouldBeOne) {
  const auto sampler = [](const char* name) {
    SamplerSection s;
    s.kind = {sampler_table(), name};
    return s;
  };
  EXPECT_NO_THROW(check_groups({3, 4, 1, true}, sampler("flow_sde")));
  EXPECT_NO_THROW(check_groups({3, 4, 1, false}, sampler("flow_ode")));
  for (const char* name : {"flow_ode", "heun", "dpmpp_2m"})
    EXPECT_ERROR(check_groups({3, 4, 1, true}, sampler(name)), "/method/same_noise");
}

Advantages given(const std::vector<double>& values, const std::vector<bool>& used) {
  GroupAdvantages head;
  head.values_B = at::tensor(values, at::kDouble);
  head.used_B = at::empty({static_cast<int64_t>(used.size())}, at::kBool);
  for (size_t i = 0; i < used.size(); ++i) head.used_B[static_cast<int64_t>(i)] = static_cast<bool>(used[i]);
  return {{head}, head.used_B};
}

TEST(BestAndWorst, TakesBothEndsOfEachGroup) {
  const auto all = [](size_t n) { return std::vector<bool>(n, true); };
  const std::vector<double> values = {0.3, -1.0, 2.0, 0.1, -0.2, 1.0, 0.0, 0.5, -3.0, 0.4};
  const std::vector<int64_t> groups = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
  const auto rows = [&](int64_t keep) { return best_and_worst(given(values, all(10)), groups, keep); };
  EXPECT_EQ(rows(2), (std::vector<int64_t>{1, 2, 5, 8}));
  EXPECT_EQ(rows(4), (std::vector<int64_t>{0, 1, 2, 4, 5, 6, 7, 8}));
  EXPECT_EQ(rows(6).size(), 10u);
}

TEST(BestAndWorst, LeavesOutWhatDoesNotCount) {
  // The best and the worst are masked; the second group has two samples left, the third none.
  const std::vector<double> values = {9.0, 1.0, 0.0, -1.0, -9.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0};
  const std::vector<bool> used = {false, true, true, true, false, false, true, true, false, false, false};
  const std::vector<int64_t> groups = {0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2};
  EXPECT_EQ(best_and_worst(given(values, used), groups, 2), (std::vector<int64_t>{1, 3, 6, 7}));
}

TEST(BestAndWorst, OfEqualOnesTheFirstAreTheBest) {
  EXPECT_EQ(best_and_worst(given({0.0, 0.0, 0.0, 0.0}, {true, true, true, true}), {0, 0, 0, 0}, 2),
            (std::vector<int64_t>{0, 3}));
}

Json settings(Json more) {
  Json all = {{"prompts_per_iteration", 3}, {"group_size", 4}, {"updates", 1}};
  all.update(more);
  return all;
}

// The kept half trains the policy as if the others were masked, and costs half.
TEST(Keep, TrainsTheKeptAloneAndComputesNoMore) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, fast());
  auto& t = small.training;
  Metrics metrics;
  const GroupPlan plan{3, 4, 1};
  const auto window = step_window(t.options.sampler, t.seed(), 0);
  const auto drawn = draw_transitions(t, 0, plan, window, trained_steps(window, 4), metrics);
  const auto aggregator = AdvantageOptions{}.start(small.training);
  auto advantages = aggregator->advantages(drawn.scores, metrics);
  const auto rows = best_and_worst(advantages, drawn.scores.group_B, 2);
  ASSERT_EQ(rows.size(), 6u);
  auto& head = advantages.heads[0];
  head.used_B = at::zeros_like(head.used_B).index_fill(0, at::tensor(rows, at::kLong), true);
  advantages.used_B = head.used_B;
  const Replay replay{
      .options = {}, .log_prob = gaussian, .loss = [](const Replayed& r, const Share&) {
        return StepLoss{.policy_B = [p = r.log_prob_B, old = r.old_log_prob_B](const auto& a) {
          return grpo_loss(p, old, a, 1e-4).loss_B;
        }};
      }};
  train_on_transitions(t, drawn, plan, advantages, *aggregator, replay, 0, metrics);
  for (const int64_t micro_batch : {1, 4, 12}) {
    auto options = fast();
    options.parallel.micro_batch = micro_batch;
    SmallTraining other(
        0.0, [](uint64_t) { return false; }, options);
    const auto method = method_named("flow_grpo", settings({{"keep", 2}}));
    const auto kept = method->start(other.training)->iterate(0);
    EXPECT_NEAR(number(kept, "policy_loss"), number(metrics, "policy_loss"), 1e-12);
    for (const char* name : {"a", "b"})
      EXPECT_NEAR(other.training.policy.parameters().at(name).item<double>(),
                  t.policy.parameters().at(name).item<double>(), 1e-12);
  }
  const auto count = count_method(*method_named("flow_grpo", settings({{"keep", 2}})), stochastic(), 0,
                                  [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_with_gradient, 1.5);
  EXPECT_EQ(count.rows_with_gradient, 1.0);
}

TEST(Keep, IsHalfBestAndHalfWorst) {
  const auto check = [](int64_t keep) {
    method_named("flow_grpo", settings({{"keep", keep}}))->check(stochastic());
  };
  EXPECT_NO_THROW(check(4));
  EXPECT_ERROR(check(3), "/method/keep");
  EXPECT_ERROR(check(6), "/method/keep");
}

// Against v = 0, by hand, in the three scales.
TEST(RolloutKl, IsItsFormula) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, stochastic());
  auto& t = small.training;
  Metrics metrics;
  const auto drawn = draw_transitions(t, 0, {3, 4, 1}, {0, 4}, {0, 2}, metrics);
  const Velocity zero = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return at::zeros_like(x);
  };
  const auto used_B = at::ones({12}, at::kBool);
  for (const std::string scale : {"diffusion", "std", "velocity"}) {
    const auto [kl_B, log_ratio_B] = rollout_kl(t, drawn, zero, scale, used_B);
    ASSERT_EQ(kl_B.size(0), 12);
    int64_t row = 0;
    for (const auto& batch : drawn.batches)
      for (int64_t b = 0; b < 4; ++b, ++row) {
        double expected = 0.0;
        for (size_t i = 0; i < 2; ++i) {
          const auto index = batch.trajectory.trained_steps[i];
          const auto kernel = drawn.kernel(t.schedule, index);
          const auto v = 0.5 * batch.trajectory.latents[i][b] + 0.1;
          const double square = v.square().mean().item<double>();
          const double means = square * kernel.v_scale * kernel.v_scale / (2.0 * kernel.std * kernel.std);
          expected += 0.5 * (scale == "velocity" ? square
                             : scale == "std"    ? means
                                                 : means * 0.25);  // -dt is 1/4
        }
        EXPECT_NEAR(kl_B[row].item<double>(), expected, 1e-10 * expected) << scale;
      }
    if (scale != "std") continue;
    for (const auto& batch : drawn.batches) {
      at::Tensor of_steps_B = at::zeros({4}, at::kDouble);
      for (size_t i = 0; i < 2; ++i) {
        const auto kernel = drawn.kernel(t.schedule, batch.trajectory.trained_steps[i]);
        const auto x = batch.trajectory.latents[i], next = batch.trajectory.next_latents[i];
        of_steps_B += 0.5 * (log_prob(next, transition(x, 0.5 * x + 0.1, kernel), gaussian) -
                             log_prob(next, transition(x, at::zeros_like(x), kernel), gaussian));
      }
      EXPECT_TRUE(at::allclose(log_ratio_B.slice(0, batch.begin, batch.end), of_steps_B, 0.0, 1e-12));
    }
  }
}

TEST(KlTerm, InVelocityIsTheSquaredDifferenceOfTheVelocities) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, fast());
  auto& t = small.training;
  const auto run =
      method_named("flow_grpo", settings({{"kl_beta", 0.1}, {"kl_scale", "velocity"}}))->start(t);
  EXPECT_EQ(number(run->iterate(0), "kl_loss"), 0.0);
  for (int64_t i = 0; i < 3; ++i)
    t.policy.step({{"b", at::full({1}, -1.0, at::kDouble)}}, t.policy.rate_at(0, 10));
  const auto a = t.policy.parameters().at("a").item<double>(),
             b = t.policy.parameters().at("b").item<double>();
  Metrics metrics;
  const auto drawn = draw_transitions(t, 1, {3, 4, 1}, {0, 4}, {0, 1, 2}, metrics);
  double expected = 0.0;
  for (const auto& batch : drawn.batches)
    for (const auto& x : batch.trajectory.latents)
      expected += ((a - 0.5) * x + b - 0.1).square().mean().item<double>() / 9.0;
  EXPECT_NEAR(number(run->iterate(1), "kl_loss"), expected, 1e-12);
}

TEST(KlInReward, IsOneMoreRewardOfItsWeight) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, fast());
  auto& t = small.training;
  for (int64_t i = 0; i < 3; ++i)
    t.policy.step({{"a", at::full({1}, -1.0, at::kDouble)}}, t.policy.rate_at(0, 10));
  Metrics metrics;
  auto drawn = draw_transitions(t, 0, {3, 4, 1}, {0, 4}, {0, 1}, metrics);
  const auto before_B = drawn.scores.total.total_B.clone();
  const ReferenceKl reference({.kl_in = "reward"}, 0.25, t);
  const auto [kl_B, log_ratio_B] =
      rollout_kl(t, drawn, t.space.reference(), "std", at::ones({12}, at::kBool));
  reference.add_reward(drawn, "std", metrics);
  EXPECT_TRUE(at::allclose(drawn.scores.total.total_B, before_B - 0.25 * log_ratio_B, 0.0, 1e-12));
  EXPECT_GT(log_ratio_B.std().item<double>(), 1e-3);
  EXPECT_NEAR(number(metrics, "kl"), kl_B.mean().item<double>(), 1e-12);
  EXPECT_EQ(drawn.scores.transformed.dimensions(), 3);
  EXPECT_EQ(drawn.scores.weights_K.back(), 0.25);
}

// With rewards that are all alike (bright + dark is 1) the KL alone teaches, and draws the policy back.
TEST(KlInReward, DrawsBackToTheReference) {
  SmallTraining small(
      1.0, [](uint64_t) { return false; }, fast());
  auto& t = small.training;
  t.policy.parameters().at("b").detach().fill_(0.6);  // not by steps, which would leave momentum
  const auto run =
      method_named(
          "flow_grpo",
          settings({{"kl_beta", 1.0}, {"kl_in", "reward"}, {"kl_scale", "std"}, {"clip_range", 10.0}}))
          ->start(t);
  const auto first = run->iterate(0);
  EXPECT_TRUE(std::isnan(number(first, "kl_loss")));
  EXPECT_GT(number(first, "kl"), 0.0);
  for (int64_t i = 1; i < 8; ++i) run->iterate(i);
  EXPECT_LT(number(run->iterate(8), "kl"), 0.5 * number(first, "kl"));
}

TEST(KlTarget, FollowsInProportionAndByAFifthAtMost) {
  SmallTraining small;
  ReferenceKl reference({.target = 0.1, .rate = 0.5}, 2.0, small.training);
  const auto after = [&](const char* name, double kl) {
    Metrics metrics = {{name, kl}};
    reference.end(metrics);
    return reference.beta();
  };
  EXPECT_NEAR(after("kl_loss", 0.11), 2.0 * 1.05, 1e-12);
  EXPECT_NEAR(after("kl_loss", 0.1), 2.1, 1e-12);
  EXPECT_NEAR(after("kl", 5.0), 2.1 * 1.1, 1e-12);
  EXPECT_NEAR(after("kl_loss", 0.0), 2.31 * 0.9, 1e-12);
}

TEST(ReferenceReset, ByAgeAndByDistance) {
  SmallTraining small;
  auto& t = small.training;
  const auto b_of = [&](const ReferenceKl& reference) {
    return reference.velocity()(at::zeros({1, 1, 1, 1, 1}, at::kDouble), {}, {}).item<double>();
  };
  const auto push = [&] {
    t.policy.step({{"b", at::full({1}, -1.0, at::kDouble)}}, t.policy.rate_at(0, 10));
  };
  const auto policy_b = [&] { return t.policy.parameters().at("b").item<double>(); };
  ReferenceKl reference({.reset_every = 2, .reset_above = 0.5}, 1.0, t);
  const auto begin = [&] {
    Metrics metrics;
    reference.begin(metrics);
    return number(metrics, "reference_resets");
  };
  const auto end = [&](double kl) {
    Metrics metrics = {{"kl_loss", kl}};
    reference.end(metrics);
  };
  EXPECT_EQ(begin(), 0.0);
  push();
  end(0.1);
  EXPECT_EQ(begin(), 0.0);
  end(0.1);
  EXPECT_EQ(b_of(reference), 0.1);  // the model as it was loaded
  EXPECT_EQ(begin(), 1.0);          // two iterations old
  const double first = policy_b();
  EXPECT_EQ(b_of(reference), first);
  push();
  EXPECT_EQ(b_of(reference), first);
  end(0.6);
  EXPECT_EQ(begin(), 2.0);  // too far
  EXPECT_EQ(b_of(reference), policy_b());
  EXPECT_NE(policy_b(), first);
}

TEST(ReferenceKl, RefusesWhatWouldDoNothing) {
  const auto check = [](Json more) {
    method_named("flow_grpo", settings(std::move(more)))->check(stochastic());
  };
  EXPECT_ERROR(check({{"kl_target", {{"kl", 0.1}}}}), "/method/kl_target/kl");
  EXPECT_ERROR(check({{"reference_reset", {{"every", 3}}}}), "/method/reference_reset");
  EXPECT_ERROR(check({{"reference_reset", {{"above", 0.1}}}}), "/method/reference_reset");
  EXPECT_NO_THROW(
      check({{"kl_beta", 0.1}, {"kl_target", {{"kl", 0.1}}}, {"reference_reset", {{"every", 3}}}}));
}

TEST(ReplayMethod, GoesOnFromACheckpointWithEveryKey) {
  const Json keys = {{"prompts_per_iteration", 3},
                     {"group_size", 4},
                     {"updates", 2},
                     {"anchor", "recomputed"},
                     {"same_noise", true},
                     {"keep", 2},
                     {"kl_beta", 0.1},
                     {"kl_target", {{"kl", 1e-3}, {"rate", 1.0}}},
                     {"reference_reset", {{"every", 2}}}};
  const auto method = method_named("flow_grpo", keys);
  SmallTraining whole(
      0.5, [](uint64_t) { return false; }, fast());
  SmallTraining resumed(
      0.5, [](uint64_t) { return false; }, fast());
  const auto a = method->start(whole.training), b = method->start(resumed.training);
  for (int64_t i = 0; i < 3; ++i) a->iterate(i);
  carry_over(3, whole.training, *a, resumed.training, *b);
  const auto expected = a->iterate(3), found = b->iterate(3);
  EXPECT_EQ(number(expected, "reference_resets"), 1.0);
  EXPECT_NE(number(expected, "kl_beta"), 0.1);
  ASSERT_EQ(expected.size(), found.size());
  for (const auto& [name, value] : expected) EXPECT_EQ(value, number(found, name)) << name;
}

}  // namespace
}  // namespace thalweg
