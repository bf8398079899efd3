#include "tests/rewards/exported_folder.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "engine/core/sha256.h"
#include "engine/weights/safetensors.h"
#include "tests/abi/compiler.h"
#include "tests/models/clip_tokenizer_folder.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

constexpr int64_t kTokens = 74, kLength = 12;  // of the small tokenizer

Json extent(int64_t min, int64_t max) {
  return {{"min", min}, {"max", max}};
}

Json description(const Json& inputs, const Json& dimensions) {
  return {{"format", "thalweg-exported/1"},
          {"name", "small"},
          {"licence", "Apache-2.0"},
          {"source", "a test"},
          {"dimensions", dimensions},
          {"inputs", inputs},
          {"max_batch", 16},
          {"height", extent(8, 128)},
          {"width", extent(8, 128)},
          {"frames", extent(1, 4)},
          {"preprocess", "graph"},
          {"dtype", "float32"},
          {"differentiable", true},
          {"exported_by", {{"torch", "2.11.0"}, {"device", "cpu"}, {"machine", "x86_64"}, {"isa", "AVX2"}}}};
}

at::Tensor drawn(at::IntArrayRef sizes, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(sizes, generator, at::TensorOptions(at::kFloat)) * 0.3;
}

Json weight(const std::string& tensor, const std::vector<int64_t>& shape) {
  return {{"tensor", tensor}, {"dtype", "float32"}, {"shape", shape}};
}

}  // namespace

Json value(const std::string& name) {
  return {{"value", name}};
}

Json node(const std::string& op, const Json& arguments, const std::string& output) {
  return {{"op", op}, {"args", arguments}, {"outputs", Json::array({output})}};
}

ExportedFolder small_cnn() {
  ExportedFolder f;
  f.reward = description(Json::array({{{"name", "frames"}, {"kind", "pictures"}}}),
                         Json::array({{{"name", "a"}}, {{"name", "b"}}}));
  f.weights = {{"conv.weight", drawn({4, 3, 3, 3}, 1)},
               {"norm.weight", drawn({4}, 2) + 1},
               {"norm.bias", drawn({4}, 3)},
               {"head.weight", drawn({2, 4}, 4)}};
  f.graph = {
      {"format", "thalweg-graph/1"},
      {"inputs", Json::array({"frames"})},
      {"weights",
       {{"cw", weight("conv.weight", {4, 3, 3, 3})},
        {"nw", weight("norm.weight", {4})},
        {"nb", weight("norm.bias", {4})},
        {"hw", weight("head.weight", {2, 4})}}},
      {"nodes",
       {node("aten::conv2d", {{"input", value("frames")}, {"weight", value("cw")}, {"padding", {1, 1}}}, "c"),
        node("aten::group_norm",
             {{"input", value("c")}, {"num_groups", 2}, {"weight", value("nw")}, {"bias", value("nb")}}, "n"),
        node("aten::silu", {{"self", value("n")}}, "s"),
        node("aten::mean.dim", {{"self", value("s")}, {"dim", {2, 3}}}, "m"),
        node("aten::linear", {{"input", value("m")}, {"weight", value("hw")}}, "out")}},
      {"output", "out"}};
  return f;
}

ExportedFolder small_clip() {
  ExportedFolder f;
  f.reward = description(
      Json::array({{{"name", "frames"}, {"kind", "pictures"}}, {{"name", "tokens"}, {"kind", "tokens"}}}),
      Json::array({{{"name", "score"}}}));
  f.reward["tokenizer"] = {
      {"kind", "clip"}, {"length", kLength}, {"vocabulary", kTokens}, {"eos", kTokens - 1}, {"pad", 0}};
  f.graph = parse_json_file(source_dir() / "tests/rewards/fixtures/exported_clip_graph.json");
  uint64_t seed = 10;
  for (const auto& [name, weight] : f.graph.at("weights").items())
    f.weights[weight.at("tensor")] = drawn(weight.at("shape").get<std::vector<int64_t>>(), seed++);
  f.weights["std"] = at::full({3, 1, 1}, 0.27f);
  f.with_tokenizer = true;
  return f;
}

void ExportedFolder::write(const std::filesystem::path& folder) const {
  std::filesystem::remove_all(folder);
  write_text(folder / "graph.json", graph.dump());
  write_safetensors(folder / "weights.safetensors", weights);
  std::vector<std::string> names{"graph.json", "weights.safetensors"};
  if (with_tokenizer) {
    write_text(folder / "tokenizer/vocab.json", vocabulary().dump());
    write_text(folder / "tokenizer/merges.txt", merges_text());
    write_text(folder / "tokenizer/tokenizer_config.json", R"({"model_max_length": 12, "pad_token": "!"})");
    for (const auto* name : {"vocab.json", "merges.txt", "tokenizer_config.json"})
      names.push_back("tokenizer/" + std::string(name));
  }
  auto full = reward;
  for (const auto& name : names)
    if (!reward.contains("files") || !reward.at("files").contains(name))
      full["files"][name] = sha256_file(folder / name);
  write_text(folder / "reward.json", full.dump());
}

std::unique_ptr<PluginReward> opened(const std::filesystem::path& folder, const Json& more) {
  Json config{{"path", folder.string()}};
  config.update(more);
  return std::make_unique<PluginReward>(plugin_library("exported"), config, Activation{}, "/rewards/1");
}

std::unique_ptr<PluginReward> opened(const ExportedFolder& made, const Json& more) {
  const auto folder = scratch_dir() / "exported";
  made.write(folder);
  return opened(folder, more);
}

ScoreInput input_of(const at::Tensor& frames_BF3HW) {
  auto input = frames_input(frames_BF3HW);
  for (int64_t b = 0; b < frames_BF3HW.size(0); ++b) input.prompts.push_back(b % 2 == 0 ? "red cat" : "cat");
  return input;
}

void expect_says(const std::string& said, const std::string& word) {
  EXPECT_NE(said.find(word), std::string::npos) << word << ": " << said;
}

}  // namespace thalweg::testing
