// The bundled reward of exported networks, through the host. tests/reference/exported_test.py holds its
// numbers against PyTorch's own, exported_refusals_test.cpp has what it refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "rewards/plugin_reward.h"
#include "tests/abi/compiler.h"
#include "tests/rewards/exported_folder.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

/// What small_cnn() computes, for frames [N,3,H,W].
at::Tensor cnn_scores(const ExportedFolder& f, const at::Tensor& frames) {
  const auto& w = f.weights;
  const auto x = at::group_norm(at::conv2d(frames, w.at("conv.weight"), {}, 1, 1), 2, w.at("norm.weight"),
                                w.at("norm.bias"));
  return at::linear(at::silu(x).mean({2, 3}), w.at("head.weight"));
}

TEST(ExportedReward, ComputesWhatTheGraphSays) {
  const auto made = small_cnn();
  const auto reward = opened(made);
  EXPECT_EQ(reward->info().dimensions_K, (std::vector<std::string>{"a", "b"}));
  const auto frames = random_frames(11, 1, 19, 24);  // two calls of the network
  const auto scored = reward->score(input_of(frames));
  expect_no_failures(scored.failures);
  EXPECT_TRUE(at::allclose(scored.values_BK, cnn_scores(made, frames.squeeze(1)), 0, 1e-6));
}

TEST(ExportedReward, AVideoIsTheMeanOverItsFrames) {
  const auto made = small_cnn();
  const auto frames = random_frames(2, 3, 16, 12);
  const auto values = opened(made, {{"batch", 4}})->score(input_of(frames)).values_BK;
  EXPECT_TRUE(at::allclose(values, cnn_scores(made, frames.flatten(0, 1)).view({2, 3, 2}).mean(1), 0, 1e-6));
}

TEST(ExportedReward, GradientEqualsCentralDifferences) {
  for (const auto& made : {small_cnn(), small_clip()}) {
    const auto reward = opened(made);
    const auto K = static_cast<int64_t>(reward->info().dimensions_K.size());
    const auto frames = random_frames(2, 2, 20, 17, 7);
    const auto cotangent = at::tensor({1.0f, -2.0f, 0.5f, 1.5f}).slice(0, 0, 2 * K).view({2, K});
    const auto gradient = reward->gradient(input_of(frames), cotangent).frames_BF3HW;
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      const auto direction = random_frames(2, 2, 20, 17, 100 + seed) - 0.5;
      const double h = 0.02;
      const auto up = reward->score(input_of(frames + h * direction)).values_BK.to(at::kDouble);
      const auto down = reward->score(input_of(frames - h * direction)).values_BK.to(at::kDouble);
      const double slope = ((up - down) * cotangent).sum().item<double>() / (2 * h);
      const double expected = (gradient * direction).sum().item<double>();
      EXPECT_NEAR(slope, expected, 1e-3 * std::max(0.1, std::abs(expected))) << seed;
      EXPECT_GT(std::abs(expected), 1e-4) << seed;
    }
  }
}

TEST(ExportedReward, ASampleWithANanPixelIsNotScoredAndTheOthersAre) {
  const auto reward = opened(small_cnn(), {{"batch", 1}});
  auto frames = random_frames(3, 2, 16, 16);
  const auto clean = reward->score(input_of(frames)).values_BK;
  frames[1][1][0][3][3] = std::nanf("");
  const auto values = reward->score(input_of(frames)).values_BK;
  EXPECT_TRUE(values[1].isnan().all().item<bool>());
  for (const int64_t b : {0, 2}) EXPECT_TRUE(at::equal(values[b], clean[b]));
  const auto gradient = reward->gradient(input_of(frames), at::ones({3, 2})).frames_BF3HW;
  EXPECT_TRUE(gradient[1].isnan().all().item<bool>());
  for (const int64_t b : {0, 2}) EXPECT_TRUE(gradient[b].isfinite().all().item<bool>());
}

TEST(ExportedReward, PromptsBecomeTheTokensOfItsTokenizer) {
  const auto reward = opened(small_clip());
  const auto frames = random_frames(1, 1, 24, 24).expand({3, 1, 3, 24, 24}).contiguous();
  auto input = frames_input(frames);
  input.prompts = {"red cat", "cat", "RED  cat "};
  const auto values = reward->score(input).values_BK;
  EXPECT_NE(values[0][0].item<float>(), values[1][0].item<float>());
  EXPECT_NEAR(values[0][0].item<float>(), values[2][0].item<float>(), 1e-6);
}

/// "device" and "dtype" in a graph are those of the machine that exported it.
TEST(ExportedReward, DtypesOfTheGraphFollowTheInstance) {
  auto made = small_cnn();
  auto& nodes = made.graph["nodes"];
  nodes.push_back(node("aten::zeros", {{"size", {1, 2}}, {"dtype", {{"dtype", "float32"}}}}, "z"));
  nodes.push_back(node("aten::add.Tensor", {{"self", value("out")}, {"other", value("z")}}, "sum"));
  nodes.push_back(node("aten::cat", {{"tensors", {value("sum"), value("z")}}}, "joined"));  // one dtype
  nodes.push_back(node("aten::slice.Tensor", {{"self", value("joined")}, {"dim", 0}, {"end", -1}}, "kept"));
  made.graph["output"] = "kept";
  const auto frames = random_frames(3, 1, 16, 16);
  const auto single = opened(made)->score(input_of(frames)).values_BK;
  const auto half = opened(made, {{"dtype", "bfloat16"}})->score(input_of(frames)).values_BK;
  EXPECT_TRUE(at::allclose(half, single, 0, 0.02));
  EXPECT_FALSE(at::equal(half, single));
}

TEST(ExportedReward, SizesAreComputedInTheGraph) {
  auto made = small_cnn();
  made.graph["nodes"] = {
      node("sym::size", {{"self", value("frames")}, {"dim", 2}}, "h"),
      node("sym::size", {{"self", value("frames")}, {"dim", 3}}, "w"),
      node("sym::floordiv", {{"a", value("h")}, {"b", 2}}, "half"),
      node("sym::truediv", {{"a", value("h")}, {"b", value("w")}}, "aspect"),
      node("aten::slice.Tensor",
           {{"self", value("frames")}, {"dim", 2}, {"start", 0}, {"end", value("half")}}, "top"),
      node("aten::mean.dim", {{"self", value("top")}, {"dim", {2, 3}}}, "m"),
      node("aten::slice.Tensor", {{"self", value("m")}, {"dim", 1}, {"end", 2}}, "two"),
      node("aten::add.Tensor", {{"self", value("two")}, {"other", value("aspect")}}, "out")};
  made.graph["weights"] = Json::object();
  made.weights.clear();
  const auto frames = random_frames(2, 1, 31, 20);
  const auto expected = frames.squeeze(1).slice(2, 0, 15).mean({2, 3}).slice(1, 0, 2) + 31.0 / 20.0;
  EXPECT_TRUE(at::allclose(opened(made)->score(input_of(frames)).values_BK, expected, 0, 1e-6));
}

// What fails while the graph runs voids the call, and says where.

std::string failure_of(const ExportedFolder& made) {
  return only(opened(made)->score(input_of(random_frames(2, 1, 16, 16))).failures);
}

TEST(ExportedReward, ANodeThatFailsIsNamed) {
  const auto with = [](const Json& node_of_sizes) {
    auto made = small_cnn();
    auto& nodes = made.graph["nodes"];
    nodes.insert(nodes.begin(), node("sym::size", {{"self", value("frames")}, {"dim", 2}}, "h"));
    nodes.push_back(node_of_sizes);
    return made;
  };
  expect_says(failure_of(with(node("sym::floordiv", {{"a", value("h")}, {"b", 0}}, "x"))),
              "node 6 of the graph (sym::floordiv): divides by zero");
  expect_says(failure_of(with(node("sym::mod", {{"a", value("h")}, {"b", 0}}, "x"))), "divides by zero");
  expect_says(failure_of(with(node("sym::mul", {{"a", value("h")}, {"b", INT64_MAX}}, "x"))), "64 bits");
  expect_says(failure_of(with(node("sym::add", {{"a", value("out")}, {"b", 1}}, "x"))), "takes numbers");
  expect_says(failure_of(with(node("sym::size", {{"self", value("out")}, {"dim", 7}}, "x"))), "sym::size");
  expect_says(
      failure_of(with(node("aten::reshape", {{"self", value("out")}, {"shape", {7, value("h")}}}, "x"))),
      "(aten::reshape)");
  expect_says(
      failure_of(with(node("aten::softmax.int", {{"self", value("out")}, {"dim", value("out")}}, "x"))),
      "takes another");
  expect_says(failure_of(with(node("aten::zeros", {{"size", {value("h"), 1 << 30}}}, "x"))), "more elements");
  expect_says(failure_of(with(node("aten::arange", {{"end", 1e15}}, "x"))), "longer range");
  auto narrow = small_cnn();
  narrow.graph["output"] = "m";
  expect_says(failure_of(narrow), "[2, 2] numbers");
  auto number = with(node("sym::neg", {{"a", value("h")}}, "x"));
  number.graph["output"] = "x";
  expect_says(failure_of(number), "no tensor");
}

/// small_cnn() plus 0 times a value that `calls` make of "least" (INT64_MIN) and "least32" (INT32_MIN), [4].
ExportedFolder with_integers(const std::vector<Json>& calls) {
  auto made = small_cnn();
  const auto full = [](int64_t number, const std::string& dtype, const std::string& name) {
    return node("aten::full",
                {{"size", Json::array({4})}, {"fill_value", number}, {"dtype", {{"dtype", dtype}}}}, name);
  };
  auto& nodes = made.graph["nodes"];
  nodes.push_back(full(INT64_MIN, "int64", "least"));
  nodes.push_back(full(INT32_MIN, "int32", "least32"));
  nodes.push_back(full(-1, "int64", "minus"));
  nodes.push_back(full(7, "int64", "seven"));
  for (const auto& call : calls) nodes.push_back(call);
  return made;
}

/// Processors end the process there: a death by SIGFPE is no failure of a call.
TEST(ExportedReward, IntegersAreNotDividedByZeroOrMinusOne) {
  const auto divide = [](const std::string& op, const Json& self, const Json& other, const Json& mode = {}) {
    Json arguments{{"self", self}, {"other", other}};
    if (!mode.is_null()) arguments["rounding_mode"] = mode;
    return with_integers({node("aten::" + op, arguments, "x")});
  };
  for (const auto* mode : {"trunc", "floor"})
    for (const auto& [op, other] : std::vector<std::pair<std::string, Json>>{
             {"div.Tensor_mode", value("minus")}, {"div.Tensor_mode", 0}, {"div.Scalar_mode", -1}})
      expect_says(failure_of(divide(op, value("least"), other, mode)), op + "): divides integers");
  for (const auto& [op, self, other] : std::vector<std::tuple<std::string, Json, Json>>{
           {"remainder.Tensor", value("least"), value("minus")},
           {"remainder.Scalar", value("least"), -1},
           {"remainder.Scalar", value("least32"), 4294967295},  // -1 in 32 bits
           {"remainder.Scalar_Tensor", INT64_MIN, value("minus")},
           {"fmod.Tensor", value("least"), value("minus")},
           {"fmod.Scalar", value("least"), 0},
           {"fmod.Scalar", value("least32"), -1},
           {"floor_divide", value("least"), value("minus")},
           {"floor_divide", value("least"), -1},
           {"floor_divide.Scalar", value("least32"), -1}})
    expect_says(failure_of(divide(op, self, other)), op + "): divides integers by 0 or -1");
  for (const auto* op : {"avg_pool2d", "avg_pool3d"}) {
    const bool planes = op == std::string("avg_pool2d");
    const std::vector<int64_t> shape =
        planes ? std::vector<int64_t>{1, 2, 2} : std::vector<int64_t>{1, 1, 2, 2};
    const std::vector<int64_t> kernel(planes ? 2 : 3, 1);
    const auto made = with_integers(
        {node("aten::reshape", {{"self", value("least")}, {"shape", shape}}, "grid"),
         node("aten::" + std::string(op),
              {{"self", value("grid")}, {"kernel_size", kernel}, {"divisor_override", -1}}, "x")});
    expect_says(failure_of(made), "divisor_override of 1 or more");
  }
}

TEST(ExportedReward, ModesThatAGridSamplerDoesNotHaveAreNamed) {
  for (const auto* op : {"grid_sampler", "grid_sampler_2d"})
    for (const auto& [interpolation, padding] : std::vector<std::pair<int, int>>{{7, 0}, {0, 9}, {-1, 0}}) {
      auto made = small_cnn();
      made.graph["nodes"].push_back(
          node("aten::zeros", {{"size", {2, 4, 4, 2}}, {"dtype", {{"dtype", "float32"}}}}, "grid"));
      made.graph["nodes"].push_back(node("aten::" + std::string(op),
                                         {{"input", value("frames")},
                                          {"grid", value("grid")},
                                          {"interpolation_mode", interpolation},
                                          {"padding_mode", padding},
                                          {"align_corners", false}},
                                         "x"));
      expect_says(failure_of(made), "has no mode");
    }
}

TEST(ExportedReward, WhatIsDividedOtherwiseIsDivided) {
  auto made = with_integers(
      {node("aten::floor_divide", {{"self", value("seven")}, {"other", -2}}, "minus_four"),
       node("aten::remainder.Scalar", {{"self", value("seven")}, {"other", 4}}, "three"),
       node("aten::div.Tensor_mode",
            {{"self", value("minus_four")}, {"other", value("three")}, {"rounding_mode", "trunc"}},
            "minus_one"),
       node("aten::div.Tensor", {{"self", value("seven")}, {"other", value("minus")}}, "minus_seven"),
       node("aten::select.int", {{"self", value("minus_seven")}, {"dim", 0}, {"index", 0}}, "factor"),
       node("aten::floor_divide", {{"self", value("factor")}, {"other", -1}}, "seven_again"),  // no integer
       node("aten::select.int", {{"self", value("minus_one")}, {"dim", 0}, {"index", 0}}, "sign"),
       node("aten::mul.Tensor", {{"self", value("out")}, {"other", value("sign")}}, "turned"),
       node("aten::mul.Tensor", {{"self", value("turned")}, {"other", value("seven_again")}}, "end")});
  made.graph["output"] = "end";
  const auto frames = random_frames(2, 1, 16, 16);
  const auto expected = -7 * cnn_scores(made, frames.squeeze(1));
  EXPECT_TRUE(at::allclose(opened(made)->score(input_of(frames)).values_BK, expected, 1e-6, 1e-6));
}

/// Interpolation by a factor, whole repeats, and norms by their input and by kept statistics: what real
/// networks have of the operators that are allowed in part.
TEST(ExportedReward, WhatIsAllowedOfAnOperatorWorks) {
  auto made = small_cnn();
  const Json norm{{"weight", value("nw")},
                  {"bias", value("nb")},
                  {"momentum", 0.1},
                  {"eps", 1e-5},
                  {"cudnn_enabled", false}};
  Json by_input = norm, by_kept = norm;
  by_input.update({{"input", value("c")},
                   {"running_mean", nullptr},
                   {"running_var", nullptr},
                   {"use_input_stats", true}});
  by_kept.update({{"input", value("i")},
                  {"running_mean", value("nb")},
                  {"running_var", value("sq")},
                  {"use_input_stats", false}});
  made.graph["nodes"] = {
      made.graph["nodes"][0],
      node("aten::square", {{"self", value("nw")}}, "sq"),
      node("aten::instance_norm", by_input, "i"),
      node("aten::instance_norm", by_kept, "k"),
      node("aten::_upsample_bilinear2d_aa.vec",
           {{"input", value("k")},
            {"output_size", nullptr},
            {"align_corners", false},
            {"scale_factors", {1.5, 0.7}}},
           "u"),
      node("aten::repeat_interleave.self_int", {{"self", value("u")}, {"repeats", 2}, {"dim", 3}}, "r"),
      node("aten::square", {{"self", value("r")}}, "s"),
      node("aten::mean.dim", {{"self", value("s")}, {"dim", {2, 3}}}, "m"),
      node("aten::linear", {{"input", value("m")}, {"weight", value("hw")}}, "out")};
  const auto frames = random_frames(2, 1, 17, 19);
  const auto& w = made.weights;
  const auto &nw = w.at("norm.weight"), &nb = w.at("norm.bias");
  auto x = at::conv2d(frames.squeeze(1), w.at("conv.weight"), {}, 1, 1);
  x = at::instance_norm(x, nw, nb, {}, {}, true, 0.1, 1e-5, false);
  x = at::batch_norm(x, nw, nb, nb, nw.square(), false, 0.1, 1e-5, false);
  x = at::_upsample_bilinear2d_aa(x, {25, 13}, false, 1.5, 0.7);
  const auto expected = at::linear(x.square().mean({2, 3}), w.at("head.weight"));
  const auto reward = opened(made);
  const auto first = reward->score(input_of(frames)).values_BK;
  EXPECT_TRUE(at::allclose(first, expected, 1e-5, 1e-6)) << first << expected;
  EXPECT_TRUE(at::equal(reward->score(input_of(frames)).values_BK, first));
}

TEST(ExportedReward, WhyASampleIsNotScoredIsSaid) {
  const auto reward = opened(small_clip());
  auto input = input_of(random_frames(4, 1, 24, 24));
  input.prompts[1] = "\xff";
  input.frames_BF3HW[2][0][0][3][3] = std::nanf("");
  const auto result = reward->score(input);
  std::vector<std::string> said;
  for (const auto& failure : result.failures) {
    EXPECT_EQ(failure.samples, 1);
    said.push_back(failure.reason);
  }
  ASSERT_EQ(said.size(), 2U);
  expect_says(said[0], "did not score \"score\": its frames hold NaN or infinity");
  expect_says(said[1], "did not score \"score\": its prompt: ");
  auto broken = small_cnn();
  broken.graph["nodes"].push_back(node("aten::log", {{"self", value("out")}}, "l"));  // of scores below 0
  broken.graph["nodes"].push_back(node("aten::neg", {{"self", value("out")}}, "n2"));
  broken.graph["nodes"].push_back(node("aten::log", {{"self", value("n2")}}, "l2"));
  broken.graph["nodes"].push_back(
      node("aten::add.Tensor", {{"self", value("l")}, {"other", value("l2")}}, "nan"));
  broken.graph["output"] = "nan";
  const auto none = opened(broken)->score(input_of(random_frames(2, 1, 16, 16))).failures;
  EXPECT_EQ(none.size(), 2U);  // one a column
  for (const auto& failure : none) expect_says(failure.reason, "the network gave NaN or infinity");
}

TEST(ExportedReward, SizesThatItWasNotExportedForAreRefused) {
  const auto reward = opened(small_cnn());
  expect_says(only(reward->score(input_of(random_frames(1, 1, 7, 16))).failures), "8 to 128");
  expect_says(only(reward->score(input_of(random_frames(1, 5, 16, 16))).failures), "videos of 5 frames");
  Activation large;
  large.height = 200;
  small_cnn().write(scratch_dir() / "exported");
  const auto caught = error_of([&] {
    PluginReward(plugin_library("exported"), Json{{"path", (scratch_dir() / "exported").string()}}, large,
                 "/rewards/1");
  });
  expect_says(caught.message, "height of 200");
}

}  // namespace
}  // namespace thalweg::testing
