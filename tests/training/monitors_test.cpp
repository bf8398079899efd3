#include "pipelines/training/monitors.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"

namespace thalweg {
namespace {

Json train_row(int64_t step, Json changes = Json::object()) {
  Json row = {{"step", step},          {"kind", "train"},   {"reward_std_mean", 0.2},
              {"zero_std_ratio", 0.1}, {"diversity", 0.2},  {"grad_norm", 0.01},
              {"clipfrac", 0.1},       {"approx_kl", 5e-7}, {"time_s", 1.0 * step}};
  row.update(changes);
  return row;
}

Json eval_row(int64_t step, Json changes = Json::object()) {
  Json row = {{"step", step},          {"kind", "eval"},         {"reward", 0.1},
              {"reward_stderr", 0.01}, {"scene/strict", 0.5},    {"scene/strict_stderr", 0.03},
              {"image_entropy", 2.0},  {"edge_density", 0.04},   {"saturation", 0.1},
              {"brightness", 0.9},     {"constant_images", 0.0}, {"diversity", 0.2},
              {"motion", 0.05}};
  row.update(changes);
  return row;
}

Monitors monitors(const MonitorSection& section = {}) {
  return {section, {"color/redness", "scene/strict"}, {1.0, 0.0}, 1e-3};
}

// Types of the events of all rows, in order.
std::vector<std::string> types(Monitors& m, const std::vector<Json>& rows) {
  std::vector<std::string> found;
  for (const auto& row : rows)
    for (const auto& event : m.observe(row)) found.push_back(event.type);
  return found;
}

using Types = std::vector<std::string>;

TEST(Monitors, AreQuietWhileNothingHappens) {
  auto m = monitors();
  std::vector<Json> rows = {eval_row(0)};
  for (int64_t i = 1; i <= 30; ++i) rows.push_back(train_row(i));
  rows.push_back(eval_row(30, {{"reward", 0.4}, {"scene/strict", 0.55}}));
  EXPECT_EQ(types(m, rows), Types{});
  EXPECT_TRUE(m.alarms().empty());
}

TEST(Monitors, SeeAHeldOutRewardFallWhileTheTrainedOneRises) {
  auto m = monitors();
  m.observe(eval_row(0));
  // A fall of 2 standard errors is within the threshold of 3, and a fall of both is no hacking.
  EXPECT_TRUE(m.observe(eval_row(10, {{"reward", 0.3}, {"scene/strict", 0.42}})).empty());
  EXPECT_TRUE(m.observe(eval_row(20, {{"reward", 0.05}, {"scene/strict", 0.3}})).empty());
  const auto events = m.observe(eval_row(30, {{"reward", 0.3}, {"scene/strict", 0.3}}));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, "reward_hacking");
  EXPECT_EQ(events[0].level, "warn");
  EXPECT_EQ(events[0].data.at("metric"), "scene/strict");
  EXPECT_EQ(events[0].data.at("baseline"), 0.5);
  EXPECT_EQ(events[0].data.at("now"), 0.3);
  EXPECT_EQ(events[0].data.at("threshold"), 3.0);
  EXPECT_EQ(events[0].data.at("since"), 30);
  EXPECT_NE(events[0].message.find("/method/kl_beta"), std::string::npos);
}

TEST(Monitors, MeasureAFallFromTheBestEvaluation) {
  auto m = monitors();
  const auto found = types(m, {eval_row(0), eval_row(10, {{"reward", 0.3}, {"scene/strict", 0.7}}),
                               eval_row(20, {{"reward", 0.4}, {"scene/strict", 0.5}})});
  EXPECT_EQ(found, Types{"reward_hacking"});
}

TEST(Monitors, AnAlarmIsRaisedOnceAndClearsBelowItsThreshold) {
  auto m = monitors();
  const auto at = [](int64_t step, double saturation) {
    return eval_row(step, {{"saturation", saturation}});
  };
  EXPECT_EQ(types(m, {at(0, 0.1), at(1, 0.31), at(2, 0.5), at(3, 0.28), at(4, 0.31)}),
            Types{"saturation_shift"});
  EXPECT_EQ(m.alarms().back().until, -1);
  EXPECT_EQ(types(m, {at(5, 0.2), at(6, 0.1)}), Types{"alarm_cleared"});
  EXPECT_EQ(m.alarms().back().until, 5);
  EXPECT_EQ(types(m, {at(7, 0.4)}), Types{"saturation_shift"});
  EXPECT_EQ(m.alarms().size(), 2u);
}

// Every alarm, by one row that is out of line; each is off at threshold 0.
struct Case {
  const char* type;
  double MonitorSection::*threshold;
  Json row;
  int64_t times;  // rows of that kind
};

class EveryMonitor : public testing::TestWithParam<Case> {};

TEST_P(EveryMonitor, IsRaisedAndCanBeTurnedOff) {
  const auto& c = GetParam();
  std::vector<Json> rows = {eval_row(0)};
  for (int64_t i = 1; i <= 8; ++i) rows.push_back(train_row(i));
  for (int64_t i = 0; i < c.times; ++i) {
    rows.push_back(c.row);
    rows.back()["step"] = 9 + i;
  }
  auto on = monitors();
  EXPECT_EQ(types(on, rows), Types{c.type});
  MonitorSection section;
  section.*c.threshold = 0.0;
  auto off = monitors(section);
  EXPECT_EQ(types(off, rows), Types{});
}

using S = MonitorSection;
INSTANTIATE_TEST_SUITE_P(
    Monitors, EveryMonitor,
    testing::Values(
        Case{"reward_hacking", &S::reward_hacking, eval_row(9, {{"reward", 0.5}, {"scene/strict", 0.1}}), 1},
        Case{"reward_saturated", &S::reward_saturated, train_row(9, {{"reward_std_mean", 0.01}}), 3},
        Case{"zero_variance", &S::zero_variance, train_row(9, {{"zero_std_ratio", 0.95}}), 3},
        Case{"diversity_collapse", &S::diversity_collapse, train_row(9, {{"diversity", 0.05}}), 3},
        Case{"diversity_collapse", &S::diversity_collapse, eval_row(9, {{"diversity", 0.05}}), 1},
        Case{"edge_density_drop", &S::edge_density_drop, eval_row(9, {{"edge_density", 0.01}}), 1},
        Case{"edge_density_rise", &S::edge_density_rise, eval_row(9, {{"edge_density", 0.2}}), 1},
        Case{"image_entropy_drop", &S::image_entropy_drop, eval_row(9, {{"image_entropy", 0.9}}), 1},
        Case{"image_entropy_rise", &S::image_entropy_rise, eval_row(9, {{"image_entropy", 4.0}}), 1},
        Case{"saturation_shift", &S::saturation_shift, eval_row(9, {{"saturation", 0.9}}), 1},
        Case{"brightness_shift", &S::brightness_shift, eval_row(9, {{"brightness", 0.5}}), 1},
        Case{"constant_images", &S::constant_images, eval_row(9, {{"constant_images", 0.5}}), 1},
        Case{"motion_drop", &S::motion_drop, eval_row(9, {{"motion", 0.015}}), 1},
        Case{"gradient_explosion", &S::gradient_explosion, train_row(9, {{"grad_norm", 0.2}}), 1},
        Case{"updates_skipped", &S::updates_skipped, train_row(9, {{"skipped_updates", 1.0}}), 3},
        Case{"clip_fraction", &S::clip_fraction, train_row(9, {{"clipfrac", 0.99}}), 3},
        Case{"approx_kl", &S::approx_kl, train_row(9, {{"approx_kl", 1e-3}}), 3}));

// Infinite and NaN norms are beyond every threshold, whether the row comes from the run or was read back
// (null), and however few came before.
TEST(Monitors, SeeAGradientThatIsNotFinite) {
  for (const Json& norm : {Json(HUGE_VAL), Json(std::nan("")), Json(nullptr)})
    for (const int64_t before : {0, 8}) {
      auto m = monitors();
      std::vector<Json> rows;
      for (int64_t i = 0; i < before; ++i) rows.push_back(train_row(i));
      rows.push_back(train_row(before, {{"grad_norm", norm}}));
      EXPECT_EQ(types(m, rows), Types{"gradient_explosion"}) << norm << " after " << before;
      ASSERT_EQ(m.alarms().size(), 1u);
      EXPECT_NE(m.alarms()[0].text.find("not finite"), std::string::npos);
      for (int64_t i = 0; i < 6; ++i) rows.push_back(train_row(before + 1 + i));
      auto again = monitors();
      EXPECT_EQ(types(again, rows), (Types{"gradient_explosion", "alarm_cleared"}));
    }
  auto m = monitors();
  std::vector<Json> rows;
  for (int64_t i = 0; i < 4; ++i) rows.push_back(train_row(i, {{"approx_kl", nullptr}}));
  EXPECT_EQ(types(m, rows), Types{"approx_kl"});
}

TEST(Monitors, AMultipleIsAboveOne) {
  MonitorSection section;
  EXPECT_NO_THROW(check_monitors(section));
  section.edge_density_rise = 0.5;
  EXPECT_THROW(check_monitors(section), Error);
  section.edge_density_rise = 0.0;
  EXPECT_NO_THROW(check_monitors(section));
}

// Videos that stand still are seen, to nothing and back; pictures have no motion to lose, nor has a model
// whose videos never moved.
TEST(Monitors, SeeVideosFreeze) {
  auto m = monitors();
  const auto at = [](int64_t step, double motion) { return eval_row(step, {{"motion", motion}}); };
  EXPECT_EQ(types(m, {at(0, 0.05), at(1, 0.025), at(2, 0.2), at(3, 0.0), at(4, 0.04)}),
            (Types{"motion_drop", "alarm_cleared"}));
  EXPECT_EQ(m.alarms().back().reading.baseline, 0.05);
  EXPECT_EQ(m.alarms().back().reading.now, 0.0);
  EXPECT_EQ(m.alarms().back().since, 3);
  auto still = monitors();
  EXPECT_EQ(types(still, {at(0, 0.0), at(1, 0.0)}), Types{});
  auto pictures = monitors();
  auto before = eval_row(0), after = eval_row(1);
  before.erase("motion");
  after.erase("motion");
  EXPECT_EQ(types(pictures, {before, after}), Types{});
}

TEST(Monitors, SeeOneOfTwoTrainedRewardsGivenUp) {
  Monitors m({}, {"a/x", "b/y"}, {1.0, -1.0}, 0.0);
  const auto row = [](int64_t step, double reward, double y) {
    return Json{{"step", step}, {"kind", "eval"},     {"reward", reward}, {"reward_stderr", 0.01},
                {"a/x", 0.5},   {"a/x_stderr", 0.01}, {"b/y", y},         {"b/y_stderr", 0.01}};
  };
  EXPECT_EQ(types(m, {row(0, 0.0, 0.5), row(1, 0.2, 0.3)}), Types{});  // weight -1: less of it is better
  EXPECT_EQ(types(m, {row(2, 0.2, 0.6)}), Types{"reward_starved"});
  EXPECT_FALSE(m.has_held_out());
}

// Rows whose numbers are missing or null (NaN) raise nothing and break nothing.
TEST(Monitors, TakeRowsWithoutNumbers) {
  auto m = monitors();
  std::vector<Json> rows;
  for (int64_t i = 0; i < 12; ++i) {
    rows.push_back({{"step", i}, {"kind", "train"}});
    rows.push_back({{"step", i}, {"kind", "eval"}, {"reward", nullptr}, {"edge_density", nullptr}});
  }
  EXPECT_EQ(types(m, rows), Types{});
}

// A resumed run reads its rows back from the file: what follows is the same.
TEST(Monitors, GoOnFromRowsReadBack) {
  std::vector<Json> rows = {eval_row(0)};
  for (int64_t i = 1; i <= 12; ++i) rows.push_back(train_row(i, {{"diversity", i < 6 ? 0.2 : 0.1 / 3.0}}));
  rows.push_back(eval_row(12, {{"diversity", 0.19}}));
  for (int64_t i = 13; i <= 20; ++i) rows.push_back(train_row(i));
  auto whole = monitors();
  const auto expected = types(whole, rows);
  EXPECT_EQ(expected, (Types{"diversity_collapse", "alarm_cleared"}));
  for (size_t cut = 0; cut <= rows.size(); ++cut) {
    auto before = monitors(), after = monitors();
    auto found = types(before, {rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(cut)});
    for (size_t i = 0; i < cut; ++i) after.observe(parse_json(rows[i].dump(), "row"));
    const auto rest = types(after, {rows.begin() + static_cast<std::ptrdiff_t>(cut), rows.end()});
    found.insert(found.end(), rest.begin(), rest.end());
    EXPECT_EQ(found, expected) << cut;
    EXPECT_EQ(after.alarms().size(), whole.alarms().size());
    EXPECT_EQ(after.alarms().back().until, whole.alarms().back().until);
  }
}

}  // namespace
}  // namespace thalweg
