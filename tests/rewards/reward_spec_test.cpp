#include "rewards/reward_spec.h"

#include <gtest/gtest.h>

#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

TEST(RewardSpec, IsReadFromAJobAndWrittenBack) {
  const Json job = {
      {"plugin", "color"},
      {"weight", 0.5},
      {"dimensions", {{"redness", 2.0}}},
      {"config", {{"channel", "red"}}},
      {"transform", {{"name", "affine"}, {"scale", 3.0}, {"clip", {{"low", -1.0}, {"high", 1.0}}}}}};
  RewardSpec spec;
  const auto walk = [&](Fields& f) { describe(f, spec); };
  read_fields(job, "/rewards/0", walk);
  EXPECT_EQ(spec.pointer, "/rewards/0");
  EXPECT_EQ(spec.weight, 0.5);
  EXPECT_EQ(spec.dimensions.at(0).first, "redness");
  EXPECT_EQ(spec.config.at("channel"), "red");
  EXPECT_EQ(spec.transform.affine.scale, 3.0);
  EXPECT_TRUE(spec.transform.affine.clip);
  EXPECT_EQ(spec.transform.affine.low, -1.0);
  const Json written = write_fields(walk);
  EXPECT_EQ(written.at("transform").at("name"), "affine");
  EXPECT_EQ(written.at("use"), "train");

  RewardSpec again;
  read_fields(written, "/rewards/0", [&](Fields& f) { describe(f, again); });
  EXPECT_EQ(again.transform.affine.high, 1.0);

  Json crossed = job;
  crossed["transform"]["clip"]["low"] = 5.0;
  RewardSpec refused;
  EXPECT_EQ(
      error_of([&] { read_fields(crossed, "/rewards/0", [&](Fields& f) { describe(f, refused); }); }).place,
      "/rewards/0/transform/clip");
}

TEST(RewardSpec, SaysWhatItIsForInAWord) {
  for (const auto use : {RewardUse::train, RewardUse::guide, RewardUse::process, RewardUse::watch}) {
    RewardSpec spec;
    const auto walk = [&](Fields& f) { describe(f, spec); };
    read_fields({{"plugin", "color"}, {"use", name_of(use)}}, "/rewards/0", walk);
    EXPECT_EQ(spec.use, use);
    EXPECT_EQ(write_fields(walk).at("use"), name_of(use));
  }
  RewardSpec refused;
  const Json job = {{"plugin", "color"}, {"use", "guid"}};
  const auto e = error_of([&] { read_fields(job, "/rewards/0", [&](Fields& f) { describe(f, refused); }); });
  EXPECT_EQ(e.place, "/rewards/0/use");
  EXPECT_NE(e.message.find("guide"), std::string::npos) << e.message;
}

TEST(RewardUse, OfAnEntryWithoutAWeightIsToBeWatched) {
  RewardSpec spec;
  EXPECT_EQ(use_of(spec), RewardUse::train);
  spec.use = RewardUse::guide;
  EXPECT_EQ(use_of(spec), RewardUse::guide);
  spec.dimensions = {{"a", 0.0}, {"b", 0.5}};
  EXPECT_EQ(use_of(spec), RewardUse::guide);
  spec.dimensions = {{"a", 0.0}};
  EXPECT_EQ(use_of(spec), RewardUse::watch);
  spec.dimensions = {};
  spec.weight = 0;
  EXPECT_EQ(use_of(spec), RewardUse::watch);
}

TEST(RewardUse, TrainedRewardsServeSteeringUntilOneIsThereForIt) {
  using enum RewardUse;
  using Uses = std::vector<RewardUse>;
  using Positions = std::vector<size_t>;
  const Uses plain = {train, watch, train};
  for (const auto use : {train, guide, process}) EXPECT_EQ(serving(plain, use), (Positions{0, 2}));
  EXPECT_EQ(serving(plain, watch), Positions{1});
  const Uses guided = {guide, train, guide};
  EXPECT_EQ(serving(guided, guide), (Positions{0, 2}));
  EXPECT_EQ(serving(guided, process), Positions{1});
  EXPECT_EQ(serving(guided, train), Positions{1});
  EXPECT_TRUE(serving(guided, watch).empty());
  EXPECT_EQ(serving(Uses{process, train, guide}, process), Positions{0});
}

}  // namespace
}  // namespace thalweg::testing
