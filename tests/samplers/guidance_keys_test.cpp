// Keys of guidance and of Doob's transform in a job, and what is wrong with them.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "samplers/sampler.h"
#include "tests/samplers/entries.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

SteeringNeeds needs(const Json& json) {
  return read_entry(json).method->needs();
}

constexpr const char* kTilts[] = {"flow_nrg", "dps", "mpgd", "spsa"};

TEST(GuidanceKeys, AreRead) {
  for (const auto* name : kTilts) {
    const Json json = {
        {"name", name}, {"lambda", 3.5}, {"window", {{"begin", 1}, {"size", 4}}}, {"max_sigma", 0.9}};
    EXPECT_EQ(written(json), json);
    EXPECT_FALSE(read_entry(json).method->samples());
  }
  const Json spsa = {{"name", "spsa"}, {"probes", 4}, {"radius", 0.5}};
  const Json euphonium = {
      {"name", "euphonium"}, {"beta", 3.125}, {"normalize", true}, {"gradient", "spsa"}, {"probes", 3}};
  const Json doob = {{"name", "doob"},
                     {"candidates", 32},
                     {"lookahead", "shared"},
                     {"form", "vjp"},
                     {"gamma", 0.5},
                     {"temperature", 0.3},
                     {"normalize", false},
                     {"antithetic", false},
                     {"rollout_steps", 3},
                     {"window", {{"begin", 1}, {"size", 6}}},
                     {"clip", 0.5},
                     {"gate", true},
                     {"gate_threshold", 0.25},
                     {"greedy_tail", 2},
                     {"keep_best", true}};
  for (const auto& json : {spsa, euphonium, doob}) EXPECT_EQ(written(json), json);
}

TEST(GuidanceKeys, NeedsFollowTheMethodAndItsKeys) {
  EXPECT_TRUE(needs({{"name", "flow_nrg"}}).reward_gradient && needs({{"name", "flow_nrg"}}).noisy_latents);
  for (const auto* name : {"dps", "mpgd"}) {
    EXPECT_TRUE(needs({{"name", name}}).reward_gradient) << name;
    EXPECT_FALSE(needs({{"name", name}}).noisy_latents) << name;
  }
  EXPECT_FALSE(needs({{"name", "spsa"}}).reward_gradient);
  EXPECT_TRUE(needs({{"name", "euphonium"}}).noisy_latents);
  EXPECT_FALSE(needs({{"name", "euphonium"}}).noise);
  EXPECT_TRUE(needs({{"name", "euphonium"}, {"beta", 1.0}}).noise);
  EXPECT_FALSE(needs({{"name", "euphonium"}, {"gradient", "spsa"}}).reward_gradient);
  EXPECT_TRUE(needs({{"name", "euphonium"}, {"gradient", "clean_estimate"}}).reward_gradient);
  EXPECT_FALSE(needs({{"name", "euphonium"}, {"gradient", "clean_estimate"}}).noisy_latents);
  EXPECT_FALSE(needs({{"name", "doob"}}).noisy_latents);
  EXPECT_TRUE(needs({{"name", "doob"}}).noise && needs({{"name", "doob"}}).kernel);
  EXPECT_TRUE(needs({{"name", "doob"}, {"lookahead", "noisy_latents"}}).noisy_latents);
  for (const auto* form : {"pick", "drift", "vjp"})
    EXPECT_FALSE(needs({{"name", "doob"}, {"form", form}}).reward_gradient) << form;
}

TEST(GuidanceKeys, EuphoniumGuidesTheLastQuarterUnlessItSaysSo) {
  const auto guided = [](const Json& json, int64_t steps) {
    const auto entry = read_entry(json);
    entry.method->check(steps, entry.pointer);
    const RewardValue sum = [](const at::Tensor& x, const Step&, const Conditioning&) {
      return x.flatten(1).sum(1).to(at::kDouble);
    };
    const auto schedule = uniform_schedule(steps);
    const auto velocity = entry.method->guidance(sum, schedule, 0)(
        [](const at::Tensor& x, const Step&, const Conditioning&) { return at::zeros_like(x); });
    std::vector<int64_t> steps_guided;
    for (int64_t i = 0; i < steps; ++i) {
      const auto x = at::ones({1, 1, 1, 1, 1}, at::kDouble);
      if (velocity(x, step_at(schedule, i, {0}), {{""}, {}}).item<double>() != 0.0) steps_guided.push_back(i);
    }
    return steps_guided;
  };
  EXPECT_EQ(guided({{"name", "euphonium"}}, 16), (std::vector<int64_t>{12, 13, 14, 15}));
  EXPECT_EQ(guided({{"name", "euphonium"}}, 10), (std::vector<int64_t>{7, 8, 9}));
  EXPECT_EQ(guided({{"name", "euphonium"}}, 1), (std::vector<int64_t>{0}));
  EXPECT_EQ(guided({{"name", "euphonium"}, {"window", {{"begin", 0}, {"size", 2}}}}, 4),
            (std::vector<int64_t>{0, 1}));
}

TEST(GuidanceKeys, MistakesAreNamed) {
  const std::string at = "/steering/0";
  for (const auto* name : {"flow_nrg", "dps", "mpgd", "spsa", "euphonium", "doob"}) {
    const auto window = [&](int begin, int size) {
      return place_of_error({{"name", name}, {"window", {{"begin", begin}, {"size", size}}}});
    };
    EXPECT_EQ(window(9, 0), "none") << name;
    EXPECT_EQ(window(4, 6), "none") << name;
    EXPECT_EQ(window(10, 0), at + "/window/begin") << name;
    EXPECT_EQ(window(4, 7), at + "/window/size") << name;
    EXPECT_EQ(place_of_error({{"name", name}, {"lamda", 1.0}}), at + "/lamda") << name;
  }
  for (const auto* name : kTilts) {
    EXPECT_EQ(place_of_error({{"name", name}, {"lambda", -1.0}}), at + "/lambda") << name;
    EXPECT_EQ(place_of_error({{"name", name}, {"max_sigma", 1.5}}), at + "/max_sigma") << name;
  }
  EXPECT_EQ(place_of_error({{"name", "spsa"}, {"probes", 0}}), at + "/probes");
  EXPECT_EQ(place_of_error({{"name", "spsa"}, {"radius", 0.0}}), at + "/radius");
  EXPECT_EQ(place_of_error({{"name", "euphonium"}, {"gradient", "finite"}}), at + "/gradient");
  EXPECT_EQ(place_of_error({{"name", "euphonium"}, {"beta", -1.0}}), at + "/beta");
  const auto doob = [&](const char* key, const Json& value, Json more = Json::object()) {
    more["name"] = "doob";
    more[key] = value;
    return place_of_error(more);
  };
  EXPECT_EQ(doob("candidates", 0), at + "/candidates");
  EXPECT_EQ(doob("candidates", 5), at + "/candidates");
  EXPECT_EQ(doob("candidates", 1), "none");
  EXPECT_EQ(doob("candidates", 5, {{"antithetic", false}}), "none");
  EXPECT_EQ(doob("lookahead", "deep"), at + "/lookahead");
  EXPECT_EQ(doob("form", "push"), at + "/form");
  EXPECT_EQ(doob("temperature", 0.0), at + "/temperature");
  EXPECT_EQ(doob("rollout_steps", 0), at + "/rollout_steps");
  EXPECT_EQ(doob("gamma", 0.5), at + "/gamma");
  EXPECT_EQ(doob("gamma", 0.5, {{"form", "drift"}}), "none");
  EXPECT_EQ(doob("clip", 1.0), at + "/clip");
  EXPECT_EQ(doob("clip", 1.0, {{"form", "vjp"}}), "none");
  EXPECT_EQ(doob("gate", true), at + "/gate");
  EXPECT_EQ(doob("gate", true, {{"form", "drift"}}), "none");
  EXPECT_EQ(doob("greedy_tail", 11), at + "/greedy_tail");
  EXPECT_EQ(doob("greedy_tail", 4, {{"window", {{"begin", 1}, {"size", 3}}}}), at + "/greedy_tail");
  EXPECT_EQ(doob("keep_best", true, {{"lookahead", "noisy_latents"}}), at + "/keep_best");
}

}  // namespace
}  // namespace thalweg
