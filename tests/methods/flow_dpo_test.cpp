// Flow-DPO, of pairs that are drawn and of pictures, on the small model.
#include <gtest/gtest.h>

#include "engine/optim/gradients.h"
#include "pipelines/plan/method_count.h"
#include "pipelines/training/selection.h"
#include "tests/methods/noised.h"
#include "tests/training/small_pictures.h"

namespace thalweg {
namespace {

constexpr double kBeta = 3.0;
const NoiseLevels kLevels{.name = "logit_normal"};

Json online(const Json& more = Json::object()) {
  return pair_settings(kBeta, more);
}

Json of_pairs(Json more = Json::object()) {
  Json all = {{"data", {{"name", "pairs"}}},
              {"prompts_per_iteration", 4},
              {"updates", 1},
              {"times_per_sample", 1},
              {"beta", kBeta}};
  all.update(more);
  return all;
}

// (beta/4) (e_w - e_l), mean over pairs of which `rows` are winner, loser, ...: what the loss is to first
// order.
at::Tensor first_order(const at::Tensor& e_B, const std::vector<int64_t>& rows) {
  const auto e = e_B.index_select(0, at::tensor(rows, at::kLong)).view({-1, 2});
  return kBeta / 4.0 * (e.select(1, 0) - e.select(1, 1)).mean();
}

TEST(FlowDpo, FirstStepIsThatOfTheFormula) {
  SmallTraining small;
  auto& t = small.training;
  const auto [batches, scores] = first_rollout(t, {3, 4, 1});
  std::vector<int64_t> groups;  // both of a pair have the noise and the level of their group
  for (const auto& batch : batches)
    for (const auto& row : batch.rows) groups.push_back(row.group);
  const auto e = noised(t, batches, kLevels, groups).error(t, t.policy.parameters());
  auto expected = gradients_of(first_order(e, best_and_worst_of_groups(scores)), t.policy.parameters());
  const auto& model = dynamic_cast<const SmallModel&>(*t.model);
  const auto metrics = method_named("flow_dpo", online())->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "policy_loss"), std::log(2.0), 1e-12);
  EXPECT_NEAR(number(metrics, "grad_norm"), clip_gradients(expected, 1e9), 1e-12);
  EXPECT_EQ(number(metrics, "pairs"), 3.0);
  EXPECT_EQ(number(metrics, "implicit_margin"), 0.0);
  ASSERT_EQ(model.trained_sigmas.size(), 2u);  // micro-batches of 4 of the 6 samples
  for (const auto& sigmas : model.trained_sigmas)
    for (size_t i = 0; i < sigmas.size(); i += 2) EXPECT_EQ(sigmas[i], sigmas[i + 1]);
  EXPECT_NE(model.trained_sigmas[0][0], model.trained_sigmas[0][2]);
}

// Affine, with scale 0: all rewards are alike.
TrainingParts all_alike() {
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.rewards = [] {
    RewardSpec spec;
    spec.plugin = "small";
    spec.dimensions = {{"bright", 1.0}};
    spec.transform.name = "affine";
    spec.transform.affine.scale = 0.0;
    std::vector<RewardMember> members;
    members.push_back({spec, std::make_shared<SmallReward>([](uint64_t) { return false; })});
    return std::make_unique<RewardSet>(std::move(members));
  };
  return parts;
}

TEST(FlowDpo, GroupsAllAlikeGiveNoPairOrATie) {
  SmallTraining none(all_alike(), SmallTraining::default_options()),
      ties(all_alike(), SmallTraining::default_options());
  const auto without = method_named("flow_dpo", online())->start(none.training)->iterate(0);
  EXPECT_EQ(number(without, "pairs"), 0.0);
  EXPECT_EQ(none.training.policy.steps(), 0);
  const auto with = method_named("flow_dpo", online({{"tie_theta", 3.0}}))->start(ties.training)->iterate(0);
  EXPECT_EQ(number(with, "pairs"), 3.0);
  EXPECT_NEAR(number(with, "policy_loss"), -std::log(8.0 * 0.25 * 0.25), 1e-12);  // sigmoid(-log 3) = 1/4
  EXPECT_NEAR(number(with, "grad_norm"), 0.0, 1e-12);
}

TEST(FlowDpo, AMarginRaisesTheLoss) {
  SmallTraining small;
  const auto metrics = method_named("flow_dpo", online({{"margin", 1.5}}))->start(small.training)->iterate(0);
  EXPECT_NEAR(number(metrics, "policy_loss"), std::log1p(std::exp(1.5)), 1e-12);
}

TEST(FlowDpo, TheReferenceIsRefreshed) {
  auto options = SmallTraining::default_options();
  options.optimizer.learning_rate = 0.05;
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options),
      kept(
          0.0, [](uint64_t) { return false; }, options);
  const auto run = method_named("flow_dpo", online({{"refresh", 2}}))->start(small.training);
  const auto other = method_named("flow_dpo", online())->start(kept.training);
  ASSERT_EQ(small.training.roles.all().size(), 2u);
  EXPECT_FALSE(small.training.roles.all()[1]->learns());
  EXPECT_EQ(kept.training.roles.all().size(), 1u);
  for (int64_t i = 0; i < 2; ++i) {
    const auto a = run->iterate(i), b = other->iterate(i);
    EXPECT_EQ(number(a, "policy_loss"), number(b, "policy_loss"));
    EXPECT_EQ(number(a, "implicit_margin") == 0.0, i == 0);
  }
  EXPECT_NEAR(number(run->iterate(2), "policy_loss"), std::log(2.0), 1e-12);
  EXPECT_NE(number(other->iterate(2), "implicit_margin"), 0.0);
}

class FlowDpoOfPairs : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int64_t i = 0; i < 16; ++i)
      write_grey(pictures_ / (std::to_string(i) + ".png"), static_cast<double>(i + 1) / 17.0);
    write({"", "", "", ""});
  }
  // Four lines: bright pictures are chosen. `more`: what they say beside that.
  void write(const std::vector<std::string>& more) const {
    std::vector<std::string> lines;
    for (size_t i = 0; i < more.size(); ++i)
      lines.push_back(R"({"prompt": "p", "chosen": ")" + std::to_string(12 + i) + R"(.png", "rejected": ")" +
                      std::to_string(i) + R"(.png")" + more[i] + "}");
    pictures_.write_lines(lines);
  }
  TrainingOptions options(int64_t micro_batch = 4) const {
    auto o = SmallPictures::options(stochastic(micro_batch));
    o.prompts.train = pictures_.lines_path();
    return o;
  }
  SmallTraining training(int64_t micro_batch = 4) const {
    return {pictures_.parts({.keys = {"chosen", "rejected"}}), options(micro_batch)};
  }
  void check(Json more = Json::object()) const {
    method_named("flow_dpo", of_pairs(std::move(more)))->check(options());
  }

  SmallPictures pictures_;
};

TEST_F(FlowDpoOfPairs, FirstStepIsThatOfTheFormula) {
  auto small = training();
  auto& t = small.training;
  const auto batches = given_groups(t, 0, {4, 2, 1}, 8);
  const auto e = noised(t, batches, kLevels, {0, 0, 1, 1, 2, 2, 3, 3}).error(t, t.policy.parameters());
  auto expected = gradients_of(first_order(e, {0, 1, 2, 3, 4, 5, 6, 7}), t.policy.parameters());
  const auto metrics = method_named("flow_dpo", of_pairs())->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "policy_loss"), std::log(2.0), 1e-12);
  EXPECT_NEAR(number(metrics, "grad_norm"), clip_gradients(expected, 1e9), 1e-12);
  EXPECT_EQ(number(metrics, "pairs"), 4.0);
}

TEST_F(FlowDpoOfPairs, LearnsToPreferTheChosen) {
  auto small = training();
  const auto run = method_named("flow_dpo", of_pairs({{"times_per_sample", 4}}))->start(small.training);
  Metrics last;
  for (int64_t i = 0; i < 40; ++i) last = run->iterate(i);
  EXPECT_LT(number(last, "policy_loss"), 0.6);
  EXPECT_GT(number(last, "implicit_accuracy"), 0.7);
  EXPECT_GT(number(last, "implicit_margin"), 0.1);
}

TEST_F(FlowDpoOfPairs, MarginsAndTiesAreThoseOfTheLines) {
  write({"", R"(, "margin": 2.0)", R"(, "tie": true)", R"(, "tie": false, "margin": -1)"});
  auto small = training();
  const auto metrics = method_named("flow_dpo", of_pairs({{"tie_theta", 3.0}, {"margin", 0.5}}))
                           ->start(small.training)
                           ->iterate(0);
  const auto clear = [](double margin) { return std::log1p(3.0 * std::exp(margin)); };
  EXPECT_NEAR(number(metrics, "policy_loss"),
              (clear(0.5) + clear(2.5) - std::log(8.0 / 16.0) + clear(-0.5)) / 4.0, 1e-12);
}

TEST_F(FlowDpoOfPairs, SameNumbersForAnyMicroBatch) {
  const auto trained = [&](int64_t micro_batch) {
    auto small = training(micro_batch);
    const auto run = method_named("flow_dpo", of_pairs({{"updates", 2}}))->start(small.training);
    for (int64_t i = 0; i < 3; ++i) run->iterate(i);
    return small.training.policy.parameters().at("a").item<double>();
  };
  const double whole = trained(16);
  EXPECT_NE(whole, 0.5);
  for (const int64_t micro_batch : {1, 3, 5}) EXPECT_NEAR(trained(micro_batch), whole, 1e-11);
}

TEST_F(FlowDpoOfPairs, RefusesLinesThatMakeNoSense) {
  EXPECT_NO_THROW(check());
  write({R"(, "tie": true)"});
  EXPECT_ERROR(check(), "line 1: is a tie");
  EXPECT_NO_THROW(check({{"tie_theta", 2.0}}));
  write({"", R"(, "tie": 1)"});
  EXPECT_ERROR(check(), "line 2: \"tie\" must be true or false");
  write({R"(, "margin": "large")"});
  EXPECT_ERROR(check(), "line 1: \"margin\" must be a number");
  EXPECT_ERROR(check({{"group_size", 4}}), "/method/group_size");
  EXPECT_ERROR(check({{"tie_theta", 0.5}}), "/method/tie_theta");
  EXPECT_ERROR(check({{"updates", 5}}), "/method/updates");
}

TEST_F(FlowDpoOfPairs, DrawsNothing) {
  const auto method = method_named("flow_dpo", of_pairs({{"times_per_sample", 3}}));
  EXPECT_EQ(method->pictures().keys, (std::vector<std::string>{"chosen", "rejected"}));
  const auto count =
      count_method(*method, stochastic(), 0, [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_EQ(count.forwards_without, 3.0);
  EXPECT_EQ(method->groups().samples(), 8);
}

}  // namespace
}  // namespace thalweg
