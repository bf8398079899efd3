// TDM-R1 on the small model: who learns what, in which order.
#include <gtest/gtest.h>

#include <algorithm>

#include "pipelines/methods/surrogate.h"
#include "pipelines/plan/method_count.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

// The critic stands still and is the teacher, and nothing is guided: rewards alone move the generator.
Json rewards_alone(Json more = Json::object()) {
  Json all = {
      {"prompts_per_iteration", 3},
      {"group_size", 4},
      {"updates", 1},
      {"guidance_weight", 0.0},
      {"reward_minimum", 0.0},
      {"states", 0},
      {"critic", {{"alone", 0}, {"optimizer", {{"learning_rate", 0.0}}}}},
      {"surrogate", {{"minimum", 0.0}, {"optimizer", {{"learning_rate", 0.01}, {"weight_decay", 0.0}}}}}};
  all.merge_patch(more);
  return all;
}

struct Aligned {
  explicit Aligned(const Json& settings,
                   TrainingParts parts = SmallTraining::parts(0.0, [](uint64_t) { return false; }))
      : small(std::move(parts), options_of("tdm_r1")),
        run(method_named("tdm_r1", settings)->start(small.training)) {}
  Role& role(const std::string& name) {
    const auto& all = small.training.roles.all();
    return **std::find_if(all.begin(), all.end(), [&](const auto& r) { return r->name() == name; });
  }
  double b(const std::string& name) { return role(name).parameters().at("b").item<double>(); }

  SmallTraining small;
  std::unique_ptr<MethodRun> run;
};

const char* const kLosses[] = {"group", "contrast"};

// The surrogate has learnt when the generator asks it.
TEST(TdmR1, AGeneratorFollowsItsSurrogate) {
  for (const char* loss : kLosses) {
    Aligned run(rewards_alone({{"surrogate", {{"loss", {{"name", loss}}}}}}));
    const double start = run.b("policy");
    const auto metrics = run.run->iterate(0);
    EXPECT_GT(number(metrics, "reward_gap"), 1e-6) << loss;
    EXPECT_NEAR(number(metrics, "matching_gap"), 0.0, 1e-12) << loss;
    EXPECT_GT((run.b("surrogate") - start) * (run.b("policy") - start), 0.0) << loss;
    EXPECT_EQ(run.b("critic"), start) << loss;
  }
}

// Equal rewards say nothing: neither surrogate nor generator moves.
TEST(TdmR1, WithoutAdvantagesNothingMoves) {
  for (const char* loss : kLosses) {
    auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
    parts.rewards = flat_rewards;
    Aligned run(rewards_alone({{"surrogate", {{"loss", {{"name", loss}}}}}}), std::move(parts));
    const auto metrics = run.run->iterate(0);
    EXPECT_NEAR(number(metrics, "surrogate_grad_norm"), 0.0, 1e-12) << loss;
    EXPECT_NEAR(number(metrics, "grad_norm"), 0.0, 1e-12) << loss;
  }
}

TEST(TdmR1, RewardsDoNotReachWhereTheyAreNotToCount) {
  Aligned low(rewards_alone({{"reward_minimum", 1.0}})), late(rewards_alone({{"reward_steps", 1}})),
      all(rewards_alone());
  EXPECT_NEAR(number(low.run->iterate(0), "grad_norm"), 0.0, 1e-12);
  const double of_first = number(late.run->iterate(0), "grad_norm");
  EXPECT_GT(of_first, 0.0);
  EXPECT_NE(of_first, number(all.run->iterate(0), "grad_norm"));
}

// Guidance alone: no critic, no rewards.
TEST(TdmR1, TheTeachersGuidanceIsATermOfItsOwn) {
  Aligned none(rewards_alone({{"reward_weight", 0.0}})),
      guided(rewards_alone({{"reward_weight", 0.0}, {"guidance_weight", 0.3}, {"guidance_scale", 2.0}})),
      at_one(rewards_alone({{"reward_weight", 0.0}, {"guidance_weight", 0.3}, {"guidance_scale", 1.0}}));
  EXPECT_NEAR(number(none.run->iterate(0), "grad_norm"), 0.0, 1e-12);
  EXPECT_NEAR(number(at_one.run->iterate(0), "grad_norm"), 0.0, 1e-12);
  EXPECT_GE(number(guided.run->iterate(0), "grad_norm"), 0.0);
}

TEST(TdmR1, LetsTheCriticGoAheadAlone) {
  Aligned run(rewards_alone({{"critic", {{"alone", 1}, {"updates", 2}}}, {"surrogate", {{"updates", 3}}}}));
  run.run->iterate(0);
  EXPECT_EQ(run.role("critic").steps(), 2);
  EXPECT_EQ(run.role("surrogate").steps(), 0);
  EXPECT_EQ(run.role("policy").steps(), 0);
  run.run->iterate(1);
  EXPECT_EQ(run.role("critic").steps(), 4);
  EXPECT_EQ(run.role("surrogate").steps(), 3);
  EXPECT_EQ(run.role("policy").steps(), 1);
}

// By optimizer steps in the group's form, by iterations in the contrast's, in which it is what v+ and v- are
// around.
TEST(TdmR1, TheSurrogatesAverageLags) {
  const Json lag = {{"name", "ramp"}, {"initial", 0.5}, {"rate", 0.0}, {"maximum", 0.5}};
  for (const char* loss : kLosses) {
    Aligned run(rewards_alone({{"surrogate", {{"loss", {{"name", loss}}}, {"average", lag}}}}));
    const double start = run.b("surrogate");
    run.run->iterate(0);
    EXPECT_NEAR(run.b("surrogate_average"), 0.5 * (start + run.b("surrogate")), 1e-12) << loss;
  }
}

// Beyond the bound the penalty leads back.
TEST(TdmR1, ASurrogateTooFarFromTheTeacherIsLedBack) {
  const auto moved = [](double beta) {
    Aligned run(rewards_alone({{"surrogate",
                                {{"kl_beta", 0.0},
                                 {"updates", 20},
                                 {"loss", {{"name", "contrast"}}},
                                 {"excess", {{"above", 0.0}, {"beta", beta}}}}}}));
    const double start = run.b("surrogate");
    run.run->iterate(0);
    return std::abs(run.b("surrogate") - start);
  };
  EXPECT_LT(moved(10.0), 0.5 * moved(0.0));
}

// The teacher of the parts, where there is one, is what everything is held against, and where the surrogate
// starts; the critic starts as the generator.
TEST(TdmR1, ATeacherOfItsOwn) {
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.teacher = parts.model->master_backbone();
  parts.teacher["b"] = at::full_like(parts.teacher["b"], 0.7);
  Aligned run(rewards_alone({{"teacher", "elsewhere"}}), std::move(parts));
  EXPECT_EQ(run.b("surrogate"), 0.7);
  EXPECT_EQ(run.b("critic"), run.b("policy"));
  EXPECT_NE(run.b("policy"), 0.7);
  const auto metrics = run.run->iterate(0);
  EXPECT_GT(number(metrics, "matching_gap"), 0.01);
  EXPECT_GT((0.7 - 0.1) * (run.b("policy") - 0.1), 0.0);  // towards it
}

// Of each sample: K to draw; with gradient a state each of critic and generator and one noising; without, the
// surrogate's three errors and its distance, and the four estimates that the generator is led by.
TEST(TdmR1, IsCounted) {
  const Json settings = {{"prompts_per_iteration", 3}, {"group_size", 4}, {"critic", {{"alone", 0}}}};
  const auto count = count_method(*method_named("tdm_r1", settings), options_of("tdm_r1"), 0,
                                  [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_of_rollout, 4.0);
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_EQ(count.forwards_without, 8.0);
  EXPECT_TRUE(count.decoded);
  ASSERT_EQ(count.roles.size(), 4u);
}

TEST(TdmR1, RefusesWhatItCannotDo) {
  const auto method = method_named("tdm_r1", rewards_alone());
  method->check(options_of("tdm_r1"));
  auto noisy = options_of("tdm_r1");
  noisy.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_sde");
  EXPECT_ERROR(method->check(noisy), "/sampler/name");
  auto guided = options_of("tdm_r1");
  guided.sampler.guidance_scale = 2.0;
  EXPECT_ERROR(method->check(guided), "/sampler/guidance_scale");
  EXPECT_ERROR(method_named("tdm_r1", rewards_alone({{"teacher", "nowhere"}}))->check(options_of("tdm_r1")),
               "/method/teacher");
  EXPECT_ERROR(
      method_named("tdm_r1", rewards_alone({{"critic", {{"alone", 10}}}}))->check(options_of("tdm_r1")),
      "/method/critic/alone");
}

}  // namespace
}  // namespace thalweg
