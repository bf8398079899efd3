// What holds for every way to aggregate several rewards, with every method that takes them.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <tuple>

#include "pipelines/training/aggregation.h"
#include "tests/io/scratch.h"
#include "tests/methods/several_rewards.h"

namespace thalweg {
namespace {

using MethodAndWay = std::tuple<std::string, std::string>;

Json settings(const std::string& way) {
  return {{"prompts_per_iteration", 3}, {"group_size", 4}, {"updates", 2}, {"aggregation", {{"name", way}}}};
}

// Methods whose losses have no advantages, and what is there instead. All others take every way.
const std::map<std::string, std::string>& without_advantages() {
  static const std::map<std::string, std::string> all = {{"flow_rwr", "weights exp(reward)"},
                                                         {"reward_forcing", "weights exp(reward)"},
                                                         {"sft", "the best of a group, or pictures"},
                                                         {"flow_dpo", "pairs"},
                                                         {"mah_dpo", "pairs of each reward"},
                                                         {"tdm", "a teacher"},
                                                         {"dmd2", "a teacher"},
                                                         {"guidance_distill", "guidance"},
                                                         {"guidance_to_policy", "guidance"},
                                                         {"refl", "a reward's gradient"},
                                                         {"draft", "a reward's gradient"},
                                                         {"adjoint_matching", "a reward's gradient"}};
  return all;
}

Chosen<Method> chosen(const MethodAndWay& names) {
  const auto& [name, way] = names;
  auto given = settings_of(name);
  given["aggregation"] = {{"name", way}};
  return method_named(name, given);
}

struct AtWork {
  AtWork(
      const Chosen<Method>& method, const TrainingOptions& options,
      TwoRewards::Lacks lacks = [](uint64_t, int64_t) { return false; })
      : small(options, std::move(lacks)), run(method->start(small.training)) {}
  double parameter(const char* name) const {
    return small.training.policy.parameters().at(name).item<double>();
  }

  TwoRewardTraining small;
  std::unique_ptr<MethodRun> run;
};

class EveryWay : public ::testing::TestWithParam<MethodAndWay> {
 protected:
  void SetUp() override {
    const auto& name = std::get<0>(GetParam());
    if (const auto it = without_advantages().find(name); it != without_advantages().end()) {
      EXPECT_FALSE(has_key(name, "aggregation"));
      GTEST_SKIP() << "learns from " << it->second;
    }
    ASSERT_NO_THROW(method_ = chosen(GetParam()));
  }
  std::optional<Chosen<Method>> method_;
};

TEST_P(EveryWay, Learns) {
  AtWork run(*method_, stochastic());
  const auto metrics = run.run->iterate(0);
  EXPECT_GT(number(metrics, "grad_norm"), 0.0);
  EXPECT_TRUE(std::isfinite(number(metrics, "policy_loss")));
  EXPECT_TRUE(std::isfinite(number(metrics, "reward_std_mean")));
  EXPECT_NE(run.parameter("b"), 0.1);
  if (std::get<1>(GetParam()) == "marble") {  // a gradient of each
    for (const char* of_each : {"alpha_small/bright", "alpha_small/even", "cosine_small/bright_small/even"})
      EXPECT_TRUE(std::isfinite(number(metrics, of_each))) << of_each;
  }
}

TEST_P(EveryWay, SameNumbersForAnyMicroBatch) {
  AtWork whole(*method_, stochastic(12));
  for (int64_t i = 0; i < 2; ++i) whole.run->iterate(i);
  for (const int64_t micro_batch : {1, 5}) {
    AtWork run(*method_, stochastic(micro_batch));
    for (int64_t i = 0; i < 2; ++i) run.run->iterate(i);
    for (const char* name : {"a", "b"})
      EXPECT_NEAR(run.parameter(name), whole.parameter(name), 1e-9) << micro_batch << " " << name;
  }
}

// Three iterations of two updates: whatever is kept between updates is in use.
TEST_P(EveryWay, GoesOnFromACheckpointBitForBit) {
  AtWork whole(*method_, stochastic()), resumed(*method_, stochastic());
  for (int64_t i = 0; i < 3; ++i) whole.run->iterate(i);
  carry_over(3, whole.small.training, *whole.run, resumed.small.training, *resumed.run);
  const auto a = whole.run->iterate(3), b = resumed.run->iterate(3);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_EQ(value, number(b, name)) << name;
  for (const char* name : {"a", "b"}) EXPECT_EQ(whole.parameter(name), resumed.parameter(name));
}

// One reward that some samples lack, and another that a whole group lacks.
TEST_P(EveryWay, WhatASampleLacksReachesNothing) {
  const auto lacks = [](uint64_t id, int64_t k) { return k == 1 ? id % 12 == 5 : id % 12 >= 8; };
  AtWork run(*method_, stochastic(), lacks);
  for (int64_t i = 0; i < 2; ++i) {
    const auto metrics = run.run->iterate(i);
    EXPECT_EQ(number(metrics, "masked_samples"), 5.0);
    EXPECT_TRUE(std::isfinite(number(metrics, "grad_norm")));
    EXPECT_TRUE(std::isfinite(number(metrics, "policy_loss")));
  }
}

// Rewards that never meet in a sample leave the sum nothing to learn from; whoever looks at each goes on.
TEST_P(EveryWay, RewardsForDifferentSamples) {
  const auto lacks = [](uint64_t id, int64_t k) { return (id % 2 == 0) == (k == 0); };
  AtWork run(*method_, stochastic(), lacks);
  const auto way = std::get<1>(GetParam());
  if (way == "weighted_sum" || way == "hypervolume" || way == "advantage_sum") {
    EXPECT_ERROR(run.run->iterate(0), "not one sample of the rollout was scored");
    return;
  }
  EXPECT_GT(number(run.run->iterate(0), "grad_norm"), 0.0);
}

std::vector<std::string> method_names() {
  std::vector<std::string> all;
  for (const auto& row : method_table()) all.emplace_back(row.name);
  return all;
}

std::vector<std::string> way_names() {
  std::vector<std::string> all;
  for (const auto& row : aggregation_table()) all.emplace_back(row.name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryWay,
                         ::testing::Combine(::testing::ValuesIn(method_names()),
                                            ::testing::ValuesIn(way_names())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param);
                         });

// The group's deviation where the way is published with it, unless the job says otherwise.
TEST(AdvantageOptions, TheDeviationIsTheWaysOwn) {
  const auto global = [](const std::string& way, Json more) {
    auto given = settings(way);
    given.update(more);
    auto method = method_named("diffusion_nft", given);
    const auto written = write_fields([&](Fields& f) { method.describe(f, {"name", ""}, method_table()); });
    return written.at("global_std").get<bool>();
  };
  EXPECT_TRUE(global("weighted_sum", Json::object()));
  EXPECT_TRUE(global("marble", Json::object()));
  EXPECT_FALSE(global("gdpo", Json::object()));
  EXPECT_FALSE(global("correlation", Json::object()));
  EXPECT_TRUE(global("gdpo", {{"global_std", true}}));
  EXPECT_FALSE(global("marble", {{"global_std", false}}));
}

}  // namespace
}  // namespace thalweg
