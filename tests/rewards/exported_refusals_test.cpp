// Exported folders that are wrong, cut or hostile: each is named, and none ends the process.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "engine/core/error.h"
#include "engine/weights/safetensors.h"
#include "rewards/plugin_reward.h"
#include "tests/abi/compiler.h"
#include "tests/rewards/exported_folder.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

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
           {"LibTorch has no operator aten::remainder.int",
            append(node("aten::remainder.int", {{"a", 1}, {"b", 0}}, "x"))},
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

// Operators that are allowed, in ways in which LibTorch would take sizes from a tensor, read beyond one or
// write into one.
TEST(ExportedReward, CallsThatLibTorchDoesNotCheckAreNamed) {
  const auto repeats = [](const std::string& overload, Json arguments) {
    arguments["repeats"] = value("hw");
    return append(node("aten::repeat_interleave." + overload, arguments, "x"));
  };
  expect_says(said_of(repeats("Tensor", {{"output_size", 2}})),
              "aten::repeat_interleave.Tensor is not among");
  expect_says(said_of(repeats("self_Tensor", {{"self", value("out")}})),
              "aten::repeat_interleave.self_Tensor is not among");
  expect_says(
      said_of(append(node("aten::tensor_split.tensor_indices_or_sections",
                          {{"self", value("out")}, {"tensor_indices_or_sections", value("hw")}}, "x"))),
      "tensor_split.tensor_indices_or_sections is not among");
  for (const auto* name : {"_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "upsample_bilinear2d",
                           "upsample_bicubic2d", "upsample_nearest2d"})
    for (const auto* scale : {"scales_h", "scales_w"})
      for (const auto& given : {Json(1e-4), Json(0), value("out")}) {
        Json arguments{{"self", value("frames")}, {"output_size", {64, 64}}, {scale, given}};
        if (name != std::string("upsample_nearest2d")) arguments["align_corners"] = false;
        expect_says(said_of(append(node("aten::" + std::string(name), arguments, "x"))),
                    "/args/" + std::string(scale) + ": must be null");
      }
  for (const auto* name : {"upsample_linear1d", "upsample_nearest1d"})
    expect_says(said_of(append(node(
                    "aten::" + std::string(name),
                    {{"self", value("out")}, {"output_size", Json::array({64})}, {"scales", 1e-4}}, "x"))),
                "/args/scales: must be null");
}

Json norm(const std::string& name, const std::string& switched, const Json& to) {
  return node("aten::" + name,
              {{"input", value("c")},
               {"weight", value("nw")},
               {"bias", value("nb")},
               {"running_mean", value("nb")},
               {"running_var", value("nw")},
               {switched, to},
               {"momentum", 0.1},
               {"eps", 1e-5},
               {"cudnn_enabled", false}},
              "x");
}

TEST(ExportedReward, NormsThatWriteIntoTheirStatisticsAreNamed) {
  for (const auto& on : {Json(true), Json(1), value("out")}) {
    expect_says(said_of(append(norm("instance_norm", "use_input_stats", on))),
                "/args/running_mean: must be null with use_input_stats");
    auto half = norm("instance_norm", "use_input_stats", on);
    half["args"]["running_mean"] = nullptr;
    expect_says(said_of(append(half)), "/args/running_var: must be null");
    expect_says(said_of(append(norm("batch_norm", "training", on))), "/args/training: must be 0 or false");
  }
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
