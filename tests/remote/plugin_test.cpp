// The module as the program loads it: what it says of samples that have no score.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "rewards/plugin_reward.h"

namespace remote {
namespace {

using thalweg::Json;

class Plugin : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// A judge where nobody listens. Lines of its log go to `lines_`.
  thalweg::PluginReward judge() {
    std::ofstream(folder_ / "template.txt") << "{image:0}";
    thalweg::Activation activation;
    activation.log = [this](int, const std::string&, const std::string& line) { lines_.push_back(line); };
    const Json config = {{"protocol", "chat"},
                         {"url", "http://127.0.0.1:1"},
                         {"allow_hosts", {"127.0.0.1"}},
                         {"model", "m"},
                         {"template", (folder_ / "template.txt").string()},
                         {"retries", 0}};
    return thalweg::PluginReward(std::filesystem::path(THALWEG_BUILD_DIR) / "plugins/remote.so", config,
                                 activation);
  }

  static thalweg::ScoreInput two_pictures() {
    thalweg::ScoreInput input;
    input.frames_BF3HW = at::full({2, 1, 3, 4, 4}, 0.5);
    return input;
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("remote-plugin-" + std::to_string(::getpid()));
  std::vector<std::string> lines_;
};

TEST_F(Plugin, EverySampleHasItsOwnReason) {
  auto reward = judge();
  lines_.clear();
  auto input = two_pictures();
  input.frames_BF3HW[0].fill_(std::numeric_limits<float>::quiet_NaN());
  const auto [values, failures] = reward.score(input);
  EXPECT_TRUE(values.isnan().all().item<bool>());
  ASSERT_EQ(failures.size(), 2u);
  std::string reasons;
  for (const auto& failure : failures) {
    EXPECT_EQ(failure.samples, 1);
    reasons += failure.reason + "\n";
  }
  EXPECT_NE(reasons.find("a pixel is not a finite number"), std::string::npos) << reasons;
  EXPECT_NE(reasons.find("connect"), std::string::npos) << reasons;
  for (const auto& line : lines_) EXPECT_EQ(line.find("pixel"), std::string::npos) << line;
}

TEST_F(Plugin, OneReasonOfAllIsTheCalls) {
  auto reward = judge();
  const auto [values, failures] = reward.score(two_pictures());
  EXPECT_TRUE(values.isnan().all().item<bool>());
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].samples, 2);
  EXPECT_EQ(failures[0].reason.find("unavailable: "), 0u) << failures[0].reason;
}

}  // namespace
}  // namespace remote
