#include "rewards/plugin_reward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

double at2(const at::Tensor& x, int64_t b, int64_t k) {
  return x.index({b, k}).item<double>();
}

TEST(PluginReward, HandsOverEveryFieldOfTheRequest) {
  std::vector<std::string> lines;
  Activation activation;
  activation.seed = 41;
  activation.log = [&](int severity, const std::string& plugin, const std::string& text) {
    lines.push_back(std::to_string(severity) + " " + plugin + " " + text);
  };
  PluginReward model(probe_library(), Json::object(), activation);
  EXPECT_EQ(lines, std::vector<std::string>{"1 probe seed 41"});
  EXPECT_FALSE(model.info().deterministic);

  const auto input = full_input();
  const auto [values, failures] = model.score(input);
  ASSERT_EQ(values.size(1), 14);
  const double expected[2][8] = {{1, 7, 11, -3, 2, 4, 10, 12.5}, {4, 9, 13, 5, 7, 4, 10, 12.5}};
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t k = 0; k < 8; ++k) EXPECT_EQ(at2(values, b, k), expected[b][k]) << b << " " << k;
    EXPECT_NEAR(at2(values, b, 8), input.frames_BF3HW[b].mean().item<double>(), 1e-6);
    EXPECT_FLOAT_EQ(at2(values, b, 9), input.frames_BF3HW[b][0][0][0][0].item<double>());
    EXPECT_EQ(at2(values, b, 10), 2);
    EXPECT_EQ(at2(values, b, 11), 0.75);
    EXPECT_TRUE(std::isnan(at2(values, b, 12)));  // never written
    EXPECT_TRUE(std::isnan(at2(values, b, 13)));  // infinite
  }
  EXPECT_EQ(failures.size(), 2u);  // the columns 12 and 13
}

TEST(PluginReward, GivesDefaultsForWhatIsAbsent) {
  PluginReward model(probe_library(), Json::object(), Activation{});
  const auto values = model.score(frames_input(random_frames(3, 1, 2, 2))).values_BK;
  const double expected[] = {0, 2, 0, -1, 2, -1, 0, 0};
  for (int64_t k = 0; k < 8; ++k) EXPECT_EQ(at2(values, 2, k), expected[k]) << k;
  EXPECT_EQ(at2(values, 2, 11), -1);  // no mask
}

TEST(PluginReward, FailuresInsideTheGlueBecomeStatusAndText) {
  const std::pair<const char*, const char*> modes[] = {
      {"throw_int", "internal failure: something that is not a std::exception was thrown"},
      {"throw_runtime", "internal failure: the film tore ?  here"},
      {"throw_away", "unavailable: the judge is at lunch"}};
  for (const auto& [mode, text] : modes) {
    PluginReward model(probe_library(), Json{{"mode", mode}}, Activation{});
    const auto scored = model.score(frames_input(random_frames(2, 1, 2, 2)));
    EXPECT_TRUE(scored.values_BK.isnan().all().item<bool>()) << mode;
    EXPECT_EQ(only(scored.failures), text);
  }
}

TEST(PluginReward, FailuresOfActivationAreErrors) {
  const auto refusal = [](const char* mode) {
    return error_of([&] { PluginReward(probe_library(), Json{{"mode", mode}}, Activation{}, "/rewards/1"); });
  };
  EXPECT_EQ(refusal("refuse").place, "/rewards/1/config/mode");
  EXPECT_EQ(refusal("refuse").message, "\"refuse\" is refused");
  EXPECT_EQ(refusal("no_memory").place, "/rewards/1");
  EXPECT_NE(refusal("no_memory").message.find("out of memory"), std::string::npos);
  for (const char* fault :
       {"CREATE_FAILS", "MISSING_FUNCTION", "NO_DIMENSIONS", "TWIN_DIMENSIONS", "ONLY_CUDA", "WRONG_MAJOR"})
    EXPECT_EQ(error_of([&] { faulty(fault); }).place, "/rewards/0") << fault;
  EXPECT_EQ(error_of([] { PluginReward("/no/such.so", Json::object(), Activation{}); }).place, "/no/such.so");
}

TEST(PluginReward, ABadScoreIsNeverANumber) {
  const auto input = frames_input(random_frames(3, 1, 2, 2));
  auto failing = faulty("SCORE_FAILS");
  EXPECT_TRUE(failing->score(input).values_BK.isnan().all().item<bool>());
  EXPECT_EQ(only(failing->score(input).failures), "device failure: the lamp is out");
  auto silent = faulty("SCORE_FAILS_SILENTLY");
  EXPECT_TRUE(silent->score(input).values_BK.isnan().all().item<bool>());
  EXPECT_EQ(only(silent->score(input).failures), "unknown status -77");

  const auto nan = faulty("SCORE_NAN")->score(input).values_BK;
  EXPECT_TRUE(std::isnan(at2(nan, 0, 0)));
  EXPECT_EQ(at2(nan, 1, 0), 1);
  const auto unwritten = faulty("SCORE_UNWRITTEN")->score(input).values_BK;
  EXPECT_TRUE(unwritten.select(1, 1).isnan().all().item<bool>());
  EXPECT_TRUE(unwritten.select(1, 0).eq(1).all().item<bool>());
}

TEST(PluginReward, CountsSamplesWithoutAUsableGradient) {
  PluginReward energy(probe_library(), Json::object(), Activation{}, "", "org.thalweg.test.energy");
  ScoreInput input;
  input.latents_BCFHW = at::ones({3, 1, 1, 1, 2});
  input.latents_BCFHW.slice(0, 1).fill_(200);  // the fixture writes no gradient above 100
  input.sigmas_B = at::zeros({3});
  const auto all = energy.gradient(input, at::ones({3, 1}));
  EXPECT_EQ(only(all.failures), "left a gradient unwritten or not finite");
  EXPECT_EQ(all.failures[0].samples, 2);
  // What is not asked for cannot fail.
  EXPECT_EQ(energy.gradient(input, at::tensor({1.0f, 1.0f, 0.0f}).view({3, 1})).failures[0].samples, 1);
  EXPECT_TRUE(energy.gradient(input, at::zeros({3, 1})).failures.empty());
}

TEST(PluginRewardDeathTest, LibrariesAreToldThatTheProgramEndsUnlessAnInstanceLives) {
  ::testing::GTEST_FLAG(death_test_style) = "fast";
  const auto library = faulty_library("NOTES_DEINIT");
  const auto note = std::filesystem::canonical(library).string() + ".deinit";
  const auto live_and_exit = [&](bool destroy) {
    auto* model = new PluginReward(library, Json::object(), Activation{});
    if (destroy) delete model;
    std::exit(0);
  };
  EXPECT_EXIT(live_and_exit(false), ::testing::ExitedWithCode(0), "");
  EXPECT_FALSE(std::filesystem::exists(note));
  EXPECT_EXIT(live_and_exit(true), ::testing::ExitedWithCode(0), "");
  EXPECT_TRUE(std::filesystem::exists(note));
}

TEST(PluginReward, InputsThatDoNotFitAreErrors) {
  PluginReward color(color_library(), Json::object(), Activation{}, "/rewards/0");
  const auto refused = [&](const ScoreInput& input) {
    const auto e = error_of([&] { color.score(input); });
    EXPECT_EQ(e.place, "/rewards/0");
    return e.message;
  };
  EXPECT_NE(refused({}).find("nothing to score"), std::string::npos);
  EXPECT_NE(refused(frames_input(at::rand({2, 1, 4, 3, 3}))).find("[2,1,4,3,3]"), std::string::npos);
  EXPECT_NE(refused(frames_input(at::rand({2, 3, 3, 3}))).find("frames"), std::string::npos);
  EXPECT_NE(refused(frames_input(at::rand({2, 0, 3, 3, 3}))).find("frames"), std::string::npos);
  ScoreInput latents;
  latents.latents_BCFHW = at::rand({2, 4, 1, 3, 3});
  EXPECT_NE(refused(latents).find("needs frames"), std::string::npos);
  auto odd = frames_input(random_frames(2, 1, 3, 3));
  odd.prompts = {"one"};
  EXPECT_NE(refused(odd).find("1 prompts for 2 samples"), std::string::npos);
  EXPECT_EQ(error_of([&] {
              color.gradient(frames_input(random_frames(2, 1, 3, 3)), at::ones({2, 2}));
            }).place,
            "/rewards/0");

  Activation small;
  small.height = 4;
  PluginReward bounded(color_library(), Json::object(), small, "/r");
  EXPECT_EQ(error_of([&] { bounded.score(frames_input(random_frames(1, 1, 5, 4))); }).place, "/r");
}

TEST(PluginReward, ABatchAboveTheLargestIsScoredInPartsWithTheSameValues) {
  Activation activation;
  activation.max_batch = 2;
  PluginReward parts(probe_library(), Json::object(), activation);
  PluginReward whole(probe_library(), Json::object(), Activation{});
  auto input = frames_input(random_frames(5, 1, 3, 3));
  input.prompts = {"", "a", "ab", "abc", "abcd"};
  const auto a = parts.score(input).values_BK, b = whole.score(input).values_BK;
  EXPECT_TRUE(at::equal(a.slice(1, 0, 10), b.slice(1, 0, 10)));
  EXPECT_EQ(at2(a, 0, 10), 2);
  EXPECT_EQ(at2(a, 4, 10), 1);

  PluginReward color(color_library(), Json::object(), Activation{});
  PluginReward color_parts(color_library(), Json::object(), activation);
  const auto cotangent = at::arange(5).to(at::kFloat).view({5, 1});
  EXPECT_TRUE(at::equal(color.gradient(input, cotangent).frames_BF3HW,
                        color_parts.gradient(input, cotangent).frames_BF3HW));
}

TEST(PluginReward, OneInstanceMayBeCalledFromManyThreads) {
  PluginReward model(color_library(), Json::object(), Activation{});
  const auto frames = random_frames(8, 1, 16, 16);
  const auto expected = model.score(frames_input(frames)).values_BK;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i)
        wrong[t] += !at::equal(model.score(frames_input(frames)).values_BK, expected);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(PluginReward, PicksARewardOfTheLibraryById) {
  const auto open = [](const std::string& id) {
    return PluginReward(probe_library(), Json::object(), Activation{}, "/r", id).info().dimensions_K;
  };
  EXPECT_EQ(open("org.thalweg.test.energy"), std::vector<std::string>{"energy"});
  const auto e = error_of([&] { open("org.thalweg.test.energie"); });
  EXPECT_NE(e.message.find("did you mean \"org.thalweg.test.energy\"?"), std::string::npos) << e.message;
}

}  // namespace
}  // namespace thalweg::testing
