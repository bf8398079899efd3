// The bundled reward of exported networks, through the host. tests/reference/exported_test.py holds its
// numbers against PyTorch's own.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>

#include "engine/core/error.h"
#include "engine/weights/safetensors.h"
#include "rewards/plugin_reward.h"
#include "tests/abi/compiler.h"
#include "tests/rewards/exported_folder.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

std::unique_ptr<PluginReward> opened(const std::filesystem::path& folder, const Json& more = Json::object()) {
  Json config{{"path", folder.string()}};
  config.update(more);
  return std::make_unique<PluginReward>(plugin_library("exported"), config, Activation{}, "/rewards/1");
}

std::unique_ptr<PluginReward> opened(const ExportedFolder& made, const Json& more = Json::object()) {
  const auto folder = scratch_dir() / "exported";
  made.write(folder);
  return opened(folder, more);
}

ScoreInput input_of(const at::Tensor& frames_BF3HW) {
  auto input = frames_input(frames_BF3HW);
  for (int64_t b = 0; b < frames_BF3HW.size(0); ++b) input.prompts.push_back(b % 2 == 0 ? "red cat" : "cat");
  return input;
}

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

void expect_says(const std::string& said, const std::string& word) {
  EXPECT_NE(said.find(word), std::string::npos) << word << ": " << said;
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
  expect_says(failure_of(with(node("aten::arange", {{"end", 1e15}}, "x"))), "longer range");
  auto narrow = small_cnn();
  narrow.graph["output"] = "m";
  expect_says(failure_of(narrow), "[2, 2] numbers");
  auto number = with(node("sym::neg", {{"a", value("h")}}, "x"));
  number.graph["output"] = "x";
  expect_says(failure_of(number), "no tensor");
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

// What is wrong with a folder is said when the job starts, at the path in the job.

using Spoil = std::function<void(ExportedFolder&)>;

std::string said_of(const Spoil& spoil, ExportedFolder made = small_cnn()) {
  spoil(made);
  const auto folder = scratch_dir() / "spoilt-exported";
  made.write(folder);
  const auto caught = error_of([&] { opened(folder); });
  EXPECT_EQ(caught.place, "/rewards/1/config/path") << caught.message;
  return caught.message;
}

Spoil append(const Json& made) {
  return [=](ExportedFolder& f) { f.graph["nodes"].push_back(made); };
}

Spoil set(const std::string& pointer, const Json& to) {
  return [=](ExportedFolder& f) { f.reward[Json::json_pointer(pointer)] = to; };
}

Spoil in_graph(const std::string& pointer, const Json& to) {
  return [=](ExportedFolder& f) { f.graph[Json::json_pointer(pointer)] = to; };
}

TEST(ExportedReward, AGraphThatIsNotOfTheFormatIsNamed) {
  const Json self{{"self", value("out")}};
  for (const auto& [word, spoil] : std::vector<std::pair<std::string, Spoil>>{
           {"aten::svd.default is not among", append(node("aten::svd.default", self, "x"))},
           {"aten::from_file is not among",
            append(node("aten::from_file", {{"filename", "/etc/passwd"}}, "x"))},
           {"aten::rand_like is not among", append(node("aten::rand_like", self, "x"))},
           {"aten::empty.memory_format is not among",
            append(node("aten::empty.memory_format", {{"size", Json::array({4})}}, "x"))},
           {"neither of aten nor of sym", append(node("prims::add", self, "x"))},
           {"no operator's name", append(node("relu", self, "x"))},
           {"LibTorch has no operator aten::relu.float", append(node("aten::relu.float", self, "x"))},
           {"writes into its arguments", append(node("aten::add.out", self, "x"))},
           {"no arithmetic of sizes", append(node("sym::pow", {{"a", 1}, {"b", 2}}, "x"))},
           {"/args/other: is missing", append(node("aten::add.Tensor", self, "x"))},
           {"does not take", append(node("aten::relu", {{"self", value("out")}, {"inplace", true}}, "x"))},
           {"for training",
            append(node("aten::dropout", {{"input", value("out")}, {"p", 0.5}, {"train", true}}, "x"))},
           {"must be a number or a value", append(node("aten::relu", {{"self", "out"}}, "x"))},
           {"must be a list", append(node("aten::permute", {{"self", value("out")}, {"dims", 1}}, "x"))},
           {"knows no dtype",
            append(
                node("aten::zeros", {{"size", Json::array({1})}, {"dtype", {{"dtype", "float31"}}}}, "x"))},
           {"more elements", append(node("aten::zeros", {{"size", {1 << 20, 1 << 20}}}, "x"))},
           {"gives 1 values, not 2", append({{"op", "aten::relu"}, {"args", self}, {"outputs", {"x", "y"}}})},
           {"which nothing defines", append(node("aten::relu", {{"self", value("nobody")}}, "x"))},
           {"before it is defined",
            [](ExportedFolder& f) { f.graph["nodes"][0]["args"]["input"] = value("out"); }},  // a circle
           {"before it is defined",
            [](ExportedFolder& f) { std::swap(f.graph["nodes"][1], f.graph["nodes"][2]); }},
           {"defined twice", append(node("aten::relu", self, "out"))},
           {"defined twice", append(node("aten::relu", self, "cw"))},
           {"\"output\"", [](ExportedFolder& f) { f.graph.erase("output"); }},
           {"unknown key \"outptu\"", in_graph("/outptu", 1)},
           {"unknown key", in_graph("/nodes/0/stream", 1)},
           {"thalweg-graph/1", in_graph("/format", "thalweg-graph/2")},
           {"must be a list", in_graph("/nodes", Json::object())},
           {"are not those of reward.json", in_graph("/inputs", {"frames", "more"})},
           {"must hold sizes", in_graph("/weights/cw/shape", {4, -3, 3, 3})},
           {"no tensor \"conv.w8\"", in_graph("/weights/cw/tensor", "conv.w8")},
           {"another shape", in_graph("/weights/cw/shape", {3, 4, 3, 3})},
           {"is Float in weights.safetensors, not float16", in_graph("/weights/cw/dtype", "float16")}})
    expect_says(said_of(spoil), word);
}

TEST(ExportedReward, GraphsAreBounded) {
  const auto many = [](ExportedFolder& f) {
    for (int i = 0; i < 50000; ++i)
      f.graph["nodes"].push_back(node("aten::relu", {{"self", value("out")}}, "x" + std::to_string(i)));
  };
  expect_says(said_of(many), "at most 50000");
  const auto deep = [](ExportedFolder& f) {
    Json list = 1;
    for (int i = 0; i < 100; ++i) list = Json::array({list});
    f.graph["nodes"][0]["args"]["padding"] = list;
  };
  expect_says(said_of(deep), "deep");
  const auto nested = in_graph("/nodes/0/args/padding", Json::parse("[[1],[1]]"));
  expect_says(said_of(nested), "must be a number or a value");
}

TEST(ExportedReward, WeightsThatDoNotFitAreNamed) {
  const auto weights = [](const std::function<void(TensorMap&)>& edit) {
    return [edit](ExportedFolder& f) { edit(f.weights); };
  };
  expect_says(said_of(weights([](TensorMap& t) { t.erase("norm.bias"); })), "no tensor \"norm.bias\"");
  expect_says(said_of(weights([](TensorMap& t) { t["extra"] = at::zeros({2}); })),
              "do not name the tensor \"extra\"");
  expect_says(said_of(weights([](TensorMap& t) { t["norm.bias"] = t["norm.bias"].to(at::kDouble); })),
              "is Double in weights.safetensors, not float32");
  expect_says(said_of(weights([](TensorMap& t) { t["norm.bias"] = at::zeros({5}); })), "another shape");
  expect_says(said_of(weights([](TensorMap& t) { t["norm.bias"][0] = std::nanf(""); })),
              "weights.safetensors");
}

TEST(ExportedReward, ADescriptionThatDoesNotFitIsNamed) {
  const Json tokenizer{{"kind", "clip"}, {"length", 12}, {"vocabulary", 74}, {"eos", 73}, {"pad", 0}};
  for (const auto& [word, spoil] : std::vector<std::pair<std::string, Spoil>>{
           {"reward.json#/format", set("/format", "thalweg-exported/9")},
           {"reward.json#/colour: unknown key", set("/colour", 1)},
           {"reward.json#/licence", [](ExportedFolder& f) { f.reward.erase("licence"); }},
           {"reward.json#/exported_by/torch", set("/exported_by", Json::object())},
           {"must name 1 to 256", set("/dimensions", Json::array())},
           {"no name of its own", set("/dimensions/1/name", "a")},
           {"its low is above its high", set("/dimensions/0/range", {{"low", 2}, {"high", 1}})},
           {"holds no size", set("/height", {{"min", 9}, {"max", 8}})},
           {"pictures or videos first", set("/inputs/0/kind", "tokens")},
           {"/tokenizer: is missing", set("/inputs/1", {{"name", "tokens"}, {"kind", "tokens"}})},
           {"is read by no input", set("/tokenizer", tokenizer)},
           {"names a kind twice", set("/inputs/1", {{"name", "more"}, {"kind", "pictures"}})},
           {"\"smooth\" has", set("/preprocess", "exact")},
           {"processor: is missing", [](ExportedFolder& f) { f.reward["preprocess"] = "smooth"; }},
           {"float32", set("/dtype", "float8")},
           {"its sha256 differs", set("/files", {{"graph.json", std::string(64, '0')}})},
           {"no file within the folder", set("/files", {{"../graph.json", "x"}})},
           {"no file within the folder", set("/files", {{"/etc/passwd", "x"}})}})
    expect_says(said_of(spoil), word);
}

TEST(ExportedReward, ATokenizerThatIsNotTheOneOfTheExportIsNamed) {
  for (const auto& [word, spoil] : std::vector<std::pair<std::string, Spoil>>{
           {"its end is 73, and reward.json says 5", set("/tokenizer/eos", 5)},
           {"its padding is 0, and reward.json says 5", set("/tokenizer/pad", 5)},
           {"its length is 12, and reward.json says 77", set("/tokenizer/length", 77)},
           {"has 74 tokens, and the network takes 70", set("/tokenizer/vocabulary", 70)},
           {"tokenizer: is missing", [](ExportedFolder& f) { f.with_tokenizer = false; }}})
    expect_says(said_of(spoil, small_clip()), word);
  const auto folder = scratch_dir() / "spoilt-exported";
  small_clip().write(folder);
  write_text(folder / "tokenizer/added_tokens.json", R"({"<more>": 74})");
  expect_says(error_of([&] { opened(folder); }).message, "added_tokens.json: is not among the files");
}

TEST(ExportedReward, FilesThatAreCutAreNamed) {
  const auto folder = scratch_dir() / "cut-exported";
  for (const auto* name : {"reward.json", "graph.json", "weights.safetensors"}) {
    for (const double part : {0.0, 0.5, 0.98}) {
      small_cnn().write(folder);
      const auto whole = static_cast<double>(std::filesystem::file_size(folder / name));
      std::filesystem::resize_file(folder / name, static_cast<std::uintmax_t>(whole * part));
      expect_says(error_of([&] { opened(folder); }).message, name);
    }
    std::filesystem::remove(folder / name);
    expect_says(error_of([&] { opened(folder); }).message, name);
  }
}

// Hostile folders: whatever stands in graph.json, the process lives, and no score is made of nothing.

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}

  uint64_t below(uint64_t n) {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return (state_ >> 11) % n;
  }

  void change(Json& graph) {
    auto& nodes = graph["nodes"];
    auto& chosen = nodes[below(nodes.size())];
    switch (below(8)) {
      case 0:
        nodes.erase(below(nodes.size()));
        return;
      case 1:
        nodes.insert(nodes.begin() + static_cast<int64_t>(below(nodes.size())), chosen);
        return;
      case 2:
        std::swap(chosen, nodes[below(nodes.size())]);
        return;
      case 3:
        chosen["op"] = nodes[below(nodes.size())]["op"];
        return;
      case 4:
        chosen["args"] = nodes[below(nodes.size())]["args"];
        return;
      default:
        any_leaf(chosen["args"]) = number(graph);
        return;
    }
  }

 private:
  Json& any_leaf(Json& json) {
    if (!json.is_structured() || json.empty()) return json;
    if (json.is_object() && json.contains("value")) return json;
    auto it = json.begin();
    std::advance(it, static_cast<int64_t>(below(json.size())));
    return any_leaf(*it);
  }

  Json number(const Json& graph) {
    const auto& nodes = graph["nodes"];
    switch (below(12)) {
      case 0: {
        const auto& output = nodes[below(nodes.size())]["outputs"][0];
        return value(output.is_string() ? output.get<std::string>() : "frames");
      }
      case 1:
        return 0;
      case 2:
        return -1;
      case 3:
        return INT64_MAX;
      case 4:
        return INT64_MIN;
      case 5:
        return 1e300;
      case 6:
        return nullptr;
      case 7:
        return Json::array({0, 0});
      case 8:
        return Json::array({-1, 65536, 3});
      case 9:
        return value(graph["weights"].begin().key());
      case 10:
        return Json{{"float", "nan"}};
      default:
        return static_cast<int64_t>(below(9));
    }
  }

  uint64_t state_;
};

TEST(ExportedReward, NoGraphEndsTheProcess) {
  const auto folder = scratch_dir() / "hostile-exported";
  int refused = 0, failed = 0, scored = 0;
  for (const auto& made : {small_cnn(), small_clip()}) {
    for (uint64_t seed = 1; seed <= 400; ++seed) {
      Mutator mutate(seed);
      auto graph = made.graph;
      for (uint64_t i = 0; i <= seed % 3; ++i) mutate.change(graph);
      auto changed = made;
      changed.graph = graph;
      changed.write(folder);
      try {
        const auto reward = opened(folder);
        const auto input = input_of(random_frames(2, 1, 16, 16));
        const auto result = reward->score(input);
        reward->gradient(input, at::ones({2, static_cast<int64_t>(reward->info().dimensions_K.size())}));
        ++(result.failures.empty() ? scored : failed);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(failed, 20);
  EXPECT_GT(scored, 20);
}

}  // namespace
}  // namespace thalweg::testing
