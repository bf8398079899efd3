#include "pipelines/training/self_check.h"

#include <gtest/gtest.h>

namespace thalweg {
namespace {

Json train_row(Json changes = Json::object()) {
  Json row = {
      {"step", 1},         {"kind", "train"},     {"zero_std_ratio", 0.25}, {"ratio_dev_first_step", 2e-7},
      {"grad_norm", 0.03}, {"masked_samples", 4}, {"time_s", 1.0}};
  row.update(changes);
  return row;
}

const SelfCheckFacts kFacts{
    .samples = 16, .updates = 2, .learning_rate = 1e-3, .clip_range = 1e-4, .final_evaluations = 2.0};

Event check(const Json& changes, const SelfCheckFacts& facts = kFacts) {
  return self_check(
      {{{"step", 0}, {"kind", "eval"}, {"grad_norm", 9.0}}, train_row(changes), train_row(changes)}, facts);
}

bool says(const Event& event, const std::string& part) {
  return event.message.find(part) != std::string::npos;
}

TEST(SelfCheck, SaysThatARunCanLearn) {
  const auto event = check(Json::object());
  EXPECT_EQ(event.level, "info");
  EXPECT_EQ(event.type, "self_check");
  EXPECT_EQ(event.message,
            "self-check: this run can learn; rewards differ in 75 % of the groups, log-probs agree to 2e-07, "
            "gradient norm 0.03, 25 % of the samples masked");
  EXPECT_EQ(event.data.at("can_learn"), true);
  EXPECT_EQ(event.data.at("groups_with_spread"), 0.75);
  EXPECT_EQ(event.data.at("log_prob_gap"), 2e-7);
  EXPECT_EQ(event.data.at("grad_norm"), 0.03);
  EXPECT_EQ(event.data.at("masked_share"), 0.25);
  EXPECT_TRUE(event.data.at("findings").empty());
}

// A method without groups, or without log-probs, has no such numbers.
TEST(SelfCheck, LeavesOutWhatAMethodHasNot) {
  const std::vector<Json> rows = {{{"step", 1}, {"kind", "train"}, {"grad_norm", 0.5}}};
  const auto event = self_check(rows, kFacts);
  EXPECT_EQ(event.message, "self-check: this run can learn; gradient norm 0.5");
  EXPECT_TRUE(event.data.at("groups_with_spread").is_null());
  EXPECT_TRUE(event.data.at("log_prob_gap").is_null());
}

struct Case {
  Json changes;
  const char *what, *turn;
};

class CannotLearn : public testing::TestWithParam<Case> {};

TEST_P(CannotLearn, AndSaysWhatToTurn) {
  const auto& c = GetParam();
  const auto event = check(c.changes);
  EXPECT_EQ(event.level, "warn");
  EXPECT_EQ(event.data.at("can_learn"), false);
  ASSERT_GE(event.data.at("findings").size(), 1u);
  EXPECT_TRUE(says(event, "cannot learn")) << event.message;
  EXPECT_TRUE(says(event, c.what)) << event.message;
  EXPECT_TRUE(says(event, c.turn)) << event.message;
}

INSTANTIATE_TEST_SUITE_P(
    SelfCheck, CannotLearn,
    testing::Values(Case{{{"zero_std_ratio", 1.0}, {"grad_norm", 0.0}}, "in no group", "/method/group_size"},
                    Case{{{"grad_norm", 0.0}}, "the gradient is 0", "/model/lora/targets"},
                    Case{{{"grad_norm", nullptr}, {"skipped_updates", 2.0}},
                         "every update was skipped",
                         "/optimizer/learning_rate"}));

// What follows from the first obstacle is not said.
TEST(SelfCheck, SaysTheMostBasicObstacleAlone) {
  EXPECT_EQ(check({{"zero_std_ratio", 1.0}, {"grad_norm", 0.0}}).data.at("findings").size(), 1u);
}

TEST(SelfCheck, OfARunWithoutUpdates) {
  auto row = train_row({{"masked_samples", 14.0}, {"zero_std_ratio", 0.0}});
  row.erase("grad_norm");
  const auto event = self_check({row, row}, kFacts);
  EXPECT_EQ(event.data.at("can_learn"), false);
  EXPECT_TRUE(says(event, "no update was made") && says(event, "/rewards")) << event.message;
}

TEST(SelfCheck, OfARunWithoutARate) {
  auto facts = kFacts;
  facts.learning_rate = 0.0;
  const auto event = check(Json::object(), facts);
  EXPECT_EQ(event.data.at("can_learn"), false);
  EXPECT_TRUE(says(event, "raise /optimizer/learning_rate")) << event.message;
}

// One update of two, or one iteration of two, is enough to go on.
TEST(SelfCheck, SomeOfItIsEnough) {
  EXPECT_EQ(check({{"grad_norm", nullptr}, {"skipped_updates", 1.0}}).level, "info");
  const std::vector<Json> rows = {train_row({{"grad_norm", 0.0}, {"zero_std_ratio", 1.0}}), train_row()};
  EXPECT_EQ(self_check(rows, kFacts).data.at("can_learn"), true);
}

TEST(SelfCheck, WarnsOfWhatSlowsARunDown) {
  for (const auto& [changes, turn] :
       std::vector<std::pair<Json, const char*>>{{{{"zero_std_ratio", 0.9}}, "/method/group_size"},
                                                 {{{"masked_samples", 8.0}}, "/rewards"},
                                                 {{{"ratio_dev_first_step", 1e-3}}, "/method/anchor"}}) {
    const auto event = check(changes);
    EXPECT_EQ(event.level, "warn");
    EXPECT_EQ(event.data.at("can_learn"), true);
    EXPECT_EQ(event.data.at("findings").size(), 1u);
    EXPECT_TRUE(says(event, "can learn, but ") && says(event, turn)) << event.message;
  }
  auto facts = kFacts;
  facts.clip_range = 0.0;  // nothing is clipped
  EXPECT_EQ(check({{"ratio_dev_first_step", 1e-3}}, facts).level, "info");
}

// 8 of 10 iterations of 3 s; evaluations of 5 s at 4, 8 and the end, and twice as much behind it.
TEST(SelfCheck, TellsTheTimeThatIsLeft) {
  const auto train = [](int64_t step, double now) {
    return Json{{"step", step},
                {"kind", "train"},
                {"time_s", now},
                {"time_phases", {{"iteration", {{"wall_s", 3.0}}}}}};
  };
  const std::vector<Json> rows = {
      {{"step", 0}, {"kind", "eval"}, {"time_s", 5.0}}, train(1, 9.0), train(2, 12.0)};
  EXPECT_DOUBLE_EQ(seconds_left(rows, kFacts, 10, 4), 8 * 3.0 + (3 + 2) * 5.0);
  EXPECT_DOUBLE_EQ(seconds_left(rows, kFacts, 8, 4), 6 * 3.0 + (2 + 2) * 5.0);
  EXPECT_DOUBLE_EQ(seconds_left(rows, kFacts, 2, 4), 2 * 5.0);
  EXPECT_DOUBLE_EQ(seconds_left(rows, kFacts, 10, 0), 8 * 3.0 + 2 * 5.0);
}

}  // namespace
}  // namespace thalweg
