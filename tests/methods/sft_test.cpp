// Supervised matching, of the best samples and of pictures, on the small model.
#include <gtest/gtest.h>

#include "engine/optim/gradients.h"
#include "pipelines/plan/method_count.h"
#include "pipelines/training/selection.h"
#include "tests/methods/noised.h"
#include "tests/training/small_pictures.h"

namespace thalweg {
namespace {

const NoiseLevels kLevels{.name = "logit_normal"};

Json online(Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 3}, {"group_size", 4}, {"updates", 1}, {"times_per_sample", 1}};
  all.update(more);
  return all;
}

Json of_pictures(Json more = Json::object(), Json data = Json::object()) {
  data["name"] = "pictures";
  Json all = {{"data", data}, {"prompts_per_iteration", 4}, {"updates", 1}, {"times_per_sample", 1}};
  all.update(more);
  return all;
}

TEST(SftOnline, MatchesTheBestOfEachGroup) {
  SmallTraining small;
  auto& t = small.training;
  const GroupPlan plan{3, 4, 1};
  const auto [batches, scores] = first_rollout(t, plan);
  const auto rows = best_of_groups(scores);
  const auto best = at::tensor(rows, at::kLong);
  const auto l =
      noised(t, batches, kLevels, slots_of(batches)).error(t, t.policy.parameters()).index_select(0, best);
  auto expected = gradients_of(l.mean(), t.policy.parameters());
  const auto& model = dynamic_cast<const SmallModel&>(*t.model);
  const auto metrics = method_named("sft", online())->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), clip_gradients(expected, 1e9), 1e-12);
  EXPECT_NEAR(number(metrics, "policy_loss"), l.mean().item<double>(), 1e-12);
  EXPECT_NEAR(number(metrics, "best_reward"),
              scores.total.total_B.index_select(0, best).mean().item<double>(), 1e-12);
  // Nothing is computed for the others.
  ASSERT_EQ(model.trained_sigmas.size(), 1u);
  EXPECT_EQ(model.trained_sigmas[0].size(), 3u);
}

TEST(SftOnline, AGroupWithoutScoresIsLeftOut) {
  SmallTraining small(0.5, [](uint64_t id) { return id % 12 < 4; });
  const auto& model = dynamic_cast<const SmallModel&>(*small.training.model);
  const auto metrics = method_named("sft", online())->start(small.training)->iterate(0);
  EXPECT_EQ(number(metrics, "masked_samples"), 4.0);
  ASSERT_EQ(model.trained_sigmas.size(), 1u);
  EXPECT_EQ(model.trained_sigmas[0].size(), 2u);
}

class SftOfPictures : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::string> lines;
    for (int64_t i = 0; i < 6; ++i) {
      const auto name = std::to_string(i) + ".png";
      write_grey(pictures_ / name, static_cast<double>(i + 1) / 17.0);
      lines.push_back(R"({"file_name": ")" + name + R"(", "prompt": "a picture"})");
    }
    pictures_.write_lines(lines);
  }
  SmallTraining training(int64_t micro_batch = 4, double learning_rate = 0.01) const {
    auto options = SmallPictures::options(stochastic(micro_batch));
    options.optimizer.learning_rate = learning_rate;
    options.prompts.train = pictures_.lines_path();
    return {pictures_.parts({.keys = {"file_name"}}), options};
  }

  SmallPictures pictures_;
};

TEST_F(SftOfPictures, MatchesABatchOfThem) {
  auto small = training();
  auto& t = small.training;
  const auto batches = given_groups(t, 0, {4, 1, 1}, 4);
  const auto l = noised(t, batches, kLevels, slots_of(batches)).error(t, t.policy.parameters());
  auto expected = gradients_of(l.mean(), t.policy.parameters());
  const auto metrics = method_named("sft", of_pictures())->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), clip_gradients(expected, 1e9), 1e-12);
  EXPECT_NEAR(number(metrics, "policy_loss"), l.mean().item<double>(), 1e-12);
  EXPECT_TRUE(std::isnan(number(metrics, "reward")));
}

TEST_F(SftOfPictures, SameNumbersForAnyMicroBatch) {
  const auto trained = [&](int64_t micro_batch) {
    auto small = training(micro_batch);
    const auto run =
        method_named("sft", of_pictures({{"updates", 2}}, {{"caption_dropout", 0.5}}))->start(small.training);
    for (int64_t i = 0; i < 3; ++i) run->iterate(i);
    EXPECT_EQ(small.training.policy.steps(), 6);
    return small.training.policy.parameters().at("b").item<double>();
  };
  const double whole = trained(16);
  EXPECT_NE(whole, 0.1);
  for (const int64_t micro_batch : {1, 3}) EXPECT_NEAR(trained(micro_batch), whole, 1e-11);
}

// All pictures alike: samples of the trained model come closer to them.
TEST_F(SftOfPictures, TheModelComesToDrawThem) {
  for (int64_t i = 0; i < 6; ++i) write_grey(pictures_ / (std::to_string(i) + ".png"), 12.0 / 17.0);
  auto small = training(4, 0.05);
  auto& t = small.training;
  const auto distance = [&] {
    const auto [batches, scores] = first_rollout(t, {3, 4, 1});
    return std::fabs(scores.total.total_B.mean().item<double>() - 12.0 / 17.0);
  };
  const double before = distance();
  const auto run =
      method_named("sft", of_pictures({{"prompts_per_iteration", 6}, {"times_per_sample", 8}}))->start(t);
  for (int64_t i = 0; i < 100; ++i) run->iterate(i);
  EXPECT_GT(before, 0.1);
  EXPECT_LT(distance(), 0.3 * before);
}

TEST_F(SftOfPictures, HasNoGroupSize) {
  EXPECT_ERROR(method_named("sft", of_pictures({{"group_size", 4}})), "/method/group_size");
  EXPECT_ERROR(method_named("sft", online({{"data", {{"name", "best_of_group"}, {"folder", "x"}}}})),
               "/method/data/folder");
  EXPECT_ERROR(method_named("sft", of_pictures(Json::object(), {{"fit", "stretch"}})), "/method/data/fit");
  EXPECT_ERROR(method_named("sft", of_pictures(Json::object(), {{"caption_dropout", 1.5}})),
               "/method/data/caption_dropout");
  EXPECT_ERROR(method_named("sft", of_pictures({{"updates", 5}}))->check(stochastic()), "/method/updates");
  EXPECT_EQ(method_named("sft", of_pictures())->groups().samples(), 4);
}

TEST_F(SftOfPictures, DrawsNothing) {
  const auto method = method_named("sft", of_pictures({{"times_per_sample", 3}, {"kl_beta", 0.1}}));
  EXPECT_TRUE(method->pictures().given());
  EXPECT_FALSE(method_named("sft", online())->pictures().given());
  const auto count =
      count_method(*method, stochastic(), 0, [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_EQ(count.forwards_without, 3.0);
  EXPECT_EQ(count.rows_with_gradient, 1.0);
  EXPECT_EQ(count.roles.size(), 1u);
}

TEST(CountMethod, OfTheBestOfAGroupIsAShare) {
  const auto count = count_method(*method_named("sft", online({{"times_per_sample", 2}})), stochastic(), 0,
                                  [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_with_gradient, 2.0 / 4.0);
}

}  // namespace
}  // namespace thalweg
