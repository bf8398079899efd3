// Exceptions out of a library, whatever the host has called.
#include "rewards/guard.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

TEST(Guard, AnExceptionOutOfACallIsAFailedCall) {
  const auto input = frames_input(random_frames(2, 1, 2, 2));
  PluginReward score(throwing_library("SCORE_THROWS"), Json::object(), Activation{});
  const auto scored = score.score(input);
  EXPECT_TRUE(scored.values_BK.isnan().all().item<bool>());
  EXPECT_EQ(only(scored.failures), "internal failure: let an exception out");
  PluginReward vjp(throwing_library("VJP_THROWS"), Json::object(), Activation{});
  const auto gradient = vjp.gradient(input, at::ones({2, 2}));
  EXPECT_TRUE(gradient.frames_BF3HW.isnan().all().item<bool>());
  EXPECT_EQ(only(gradient.failures), "its gradient failed: internal failure: let an exception out");
  EXPECT_EQ(gradient.failures[0].samples, 2);
}

TEST(Guard, AnExceptionOutOfAnyOtherCallIsAnErrorThatNamesThePlugin) {
  const std::pair<const char*, const char*> faults[] = {{"INIT_THROWS", "init"},
                                                        {"FACTORY_THROWS", "get_factory"},
                                                        {"COUNT_THROWS", "count"},
                                                        {"DESCRIPTOR_THROWS", "descriptor"},
                                                        {"CREATE_THROWS", "create"},
                                                        {"DIMENSION_COUNT_THROWS", "dimension_count"},
                                                        {"DIMENSION_NAME_THROWS", "dimension_name"},
                                                        {"EXTENSION_THROWS", "get_extension"},
                                                        {"GRADIENT_INPUTS_THROWS", "gradient.inputs"}};
  for (const auto& [fault, function] : faults) {
    const auto e =
        error_of([&] { PluginReward(throwing_library(fault), Json::object(), Activation{}, "/rewards/3"); });
    EXPECT_EQ(e.place, "/rewards/3") << fault;
    const auto said = std::string(fault) + ": " + function + " let an exception out";
    EXPECT_NE(e.message.find(said), std::string::npos) << e.message;
  }
  for (const char* fault : {"START_THROWS", "ACTIVATE_THROWS"}) {
    const auto e =
        error_of([&] { PluginReward(throwing_library(fault), Json::object(), Activation{}, "/rewards/3"); });
    EXPECT_NE(e.message.find("internal failure: let an exception out"), std::string::npos) << e.message;
  }
}

TEST(Guard, AnExceptionWhileItIsTornDownIsSwallowed) {
  for (const char* fault : {"DEACTIVATE_THROWS", "DESTROY_THROWS"}) {
    PluginReward reward(throwing_library(fault), Json::object(), Activation{});
    EXPECT_TRUE(reward.score(frames_input(random_frames(1, 1, 2, 2))).failures.empty()) << fault;
  }
}

TEST(Guard, ALibraryThatIsRefusedAfterItStartedStaysMapped) {
  error_of([] { faulty("NO_REWARDS"); });
  std::ifstream maps("/proc/self/maps");
  const std::string mapped{std::istreambuf_iterator<char>(maps), {}};
  EXPECT_NE(mapped.find("/NO_REWARDS.so"), std::string::npos);
}

TEST(Guard, ALibraryThatIsRefusedIsToldThatItEndsIfItHadStarted) {
  const auto was_told = [](const char* fault) {
    error_of([&] { faulty(fault); });
    return std::filesystem::exists(faulty_library(fault).string() + ".deinit");
  };
  EXPECT_TRUE(was_told("NO_REWARDS"));
  EXPECT_FALSE(was_told("INIT_FAILS"));
}

TEST(GuardDeathTest, AnExceptionWhenTheProgramEndsIsSwallowed) {
  ::testing::GTEST_FLAG(death_test_style) = "fast";
  const auto library = throwing_library("DEINIT_THROWS");
  EXPECT_EXIT(
      {
        PluginReward(library, Json::object(), Activation{});
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace thalweg::testing
