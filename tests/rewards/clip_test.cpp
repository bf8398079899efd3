// The bundled CLIP reward, through the host. tests/reference holds its numbers against transformers'.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "engine/core/json.h"
#include "engine/models/vision/clip_model.h"
#include "engine/weights/safetensors.h"
#include "rewards/plugin_reward.h"
#include "tests/models/clip_tokenizer_folder.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

constexpr int64_t kTokens = 74;  // of the small tokenizer
constexpr int64_t kEmbed = 12;

/// A CLIPModel of random weights, made once.
const std::filesystem::path& clip_folder() {
  static const auto folder = [] {
    const auto path = scratch_dir() / "clip";
    const Json layers{
        {"hidden_size", 16}, {"intermediate_size", 32}, {"num_hidden_layers", 2}, {"num_attention_heads", 2}};
    Json text = layers, vision = layers;
    text.update(
        Json{{"vocab_size", kTokens}, {"max_position_embeddings", 12}, {"eos_token_id", kTokens - 1}});
    vision.update(Json{{"image_size", 16}, {"patch_size", 8}});
    const Json config{
        {"model_type", "clip"}, {"projection_dim", kEmbed}, {"text_config", text}, {"vision_config", vision}};
    write_text(path / "config.json", config.dump());
    write_text(path / "preprocessor_config.json", R"({"size": {"shortest_edge": 16}, "crop_size": 16})");
    write_text(path / "vocab.json", vocabulary().dump());
    write_text(path / "merges.txt", merges_text());
    write_text(path / "tokenizer_config.json", R"({"model_max_length": 12, "pad_token": "!"})");
    Binder declare;
    auto text_config = ClipTextEncoder::parse(text, "text");
    auto vision_config = ClipVisionEncoder::parse(vision, "vision");
    text_config.projection_dim = vision_config.projection_dim = kEmbed;
    ClipTextEncoder::bind(text_config, declare);
    ClipVisionEncoder::bind(vision_config, declare);
    auto weights = initial_parameters(declare.specs(), 5);
    weights["logit_scale"] = at::tensor(2.0f).squeeze();
    write_safetensors(path / "model.safetensors", weights);
    return path;
  }();
  return folder;
}

Json config_with(const Json& changes) {
  Json config{{"model", clip_folder().string()}};
  config.update(changes);
  return config;
}

ScoreInput input_of(const at::Tensor& frames_BF3HW) {
  auto input = frames_input(frames_BF3HW);
  for (int64_t b = 0; b < frames_BF3HW.size(0); ++b) input.prompts.push_back(b % 2 == 0 ? "red cat" : "");
  return input;
}

const Json kGoal{{"prompt", "red cat"}, {"baseline", "cat"}, {"alpha", 0.7}};

TEST(ClipReward, HasTheColumnsThatTheConfigurationAsksFor) {
  PluginReward model(plugin_library("clip"),
                     config_with({{"scores", {"logit", "goal", "cosine"}}, {"goal", kGoal}}), Activation{});
  EXPECT_EQ(model.info().dimensions_K, (std::vector<std::string>{"logit", "goal", "cosine"}));
  EXPECT_EQ(model.info().gradient_of, GradientOf::none);
  const auto values_BK = model.score(input_of(random_frames(2, 1, 20, 24))).values_BK;
  EXPECT_TRUE(at::allclose(values_BK.select(1, 0), values_BK.select(1, 2) * std::exp(2.0), 0, 1e-5));
  EXPECT_LE(values_BK.abs().select(1, 2).max().item<double>(), 1.0);
}

TEST(ClipReward, AScoreDoesNotDependOnItsBatch) {
  PluginReward model(plugin_library("clip"), config_with(Json::object()), Activation{});
  const auto frames = random_frames(6, 2, 19, 31);
  const auto together = model.score(input_of(frames)).values_BK;
  for (int64_t b = 0; b < 6; b += 2)
    EXPECT_TRUE(at::equal(model.score(input_of(frames.slice(0, b, b + 1).contiguous())).values_BK,
                          together.slice(0, b, b + 1)));
}

TEST(ClipReward, ASampleWithANanPixelIsNotScoredAndTheOthersAre) {
  PluginReward model(plugin_library("clip"), config_with({{"preprocess", "smooth"}}), Activation{});
  auto frames = random_frames(2, 2, 16, 16);
  const auto before = model.score(input_of(frames)).values_BK;
  frames[1][1][0][3][3] = std::nanf("");
  const auto values = model.score(input_of(frames)).values_BK;
  EXPECT_EQ(values[0][0].item<double>(), before[0][0].item<double>());
  EXPECT_TRUE(std::isnan(values[1][0].item<double>()));
  const auto gradient = model.gradient(input_of(frames), at::ones({2, 1})).frames_BF3HW;
  EXPECT_TRUE(gradient[0].isfinite().all().item<bool>());
  EXPECT_TRUE(gradient[1].isnan().all().item<bool>());
}

TEST(ClipReward, GradientEqualsCentralDifferences) {
  PluginReward model(
      plugin_library("clip"),
      config_with({{"preprocess", "smooth"}, {"scores", {"cosine", "goal", "logit"}}, {"goal", kGoal}}),
      Activation{});
  ASSERT_NE(model.info().gradient_of, GradientOf::none);
  const auto frames = random_frames(1, 2, 20, 17, 7);
  const auto cotangent = at::tensor({1.0f, -2.0f, 0.5f}).view({1, 3});
  const auto gradient = model.gradient(input_of(frames), cotangent).frames_BF3HW;
  // Along whole directions: one pixel alone moves a score by less than float32 resolves.
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto direction = random_frames(1, 2, 20, 17, 100 + seed) - 0.5;
    const double h = 0.02;
    const auto up = model.score(input_of(frames + h * direction)).values_BK.to(at::kDouble);
    const auto down = model.score(input_of(frames - h * direction)).values_BK.to(at::kDouble);
    const double slope = ((up - down) * cotangent).sum().item<double>() / (2 * h);
    const double expected = (gradient * direction).sum().item<double>();
    EXPECT_NEAR(slope, expected, 1e-3 * std::max(1.0, std::abs(expected))) << seed;
    EXPECT_GT(std::abs(expected), 1e-3) << seed;
  }
}

Caught refusal(const Json& config) {
  return error_of([&] { PluginReward(plugin_library("clip"), config, Activation{}, "/rewards/1"); });
}

TEST(ClipReward, AWrongConfigurationIsNamedAtItsPointer) {
  const Json same{{"prompt", "cat"}, {"baseline", "CAT "}},
      strong{{"prompt", "cat"}, {"baseline", "red"}, {"alpha", 2}};
  for (const auto& [place, changes] : std::vector<std::pair<std::string, Json>>{
           {"/model", {{"model", 3}}},
           {"/model", {{"model", "no/such/folder"}}},
           {"/modle", {{"modle", "x"}}},
           {"/processor", {{"processor", "no/such/folder"}}},
           {"/scores/0", {{"scores", {"cosne"}}}},
           {"/scores/0", {{"scores", {"cosine", "cosine"}}}},
           {"/scores", {{"scores", Json::array()}}},
           {"/preprocess", {{"preprocess", "rough"}}},
           {"/goal", {{"scores", {"goal"}}}},
           {"/goal", {{"goal", kGoal}}},
           {"/goal/baseline", {{"scores", {"goal"}}, {"goal", {{"prompt", "cat"}}}}},
           {"/goal/baseline", {{"scores", {"goal"}}, {"goal", same}}},
           {"/goal/alpha", {{"scores", {"goal"}}, {"goal", strong}}},
           {"/aesthetic", {{"scores", {"aesthetic"}}}},
           {"/aesthetic", {{"scores", {"aesthetic"}}, {"aesthetic", "none.safetensors"}}}})
    EXPECT_EQ(refusal(config_with(changes)).place, "/rewards/1/config" + place) << changes.dump();
  EXPECT_EQ(refusal(Json::object()).place, "/rewards/1/config/model");
}

/// What is said of a copy of the folder that `spoil` has changed, always at /model.
std::string said_of(const std::function<void(const std::filesystem::path&)>& spoil) {
  const auto copy = scratch_dir() / "spoilt-clip";
  std::filesystem::remove_all(copy);
  std::filesystem::copy(clip_folder(), copy);
  spoil(copy);
  const auto caught = refusal(Json{{"model", copy.string()}});
  EXPECT_EQ(caught.place, "/rewards/1/config/model") << caught.message;
  return caught.message;
}

std::function<void(const std::filesystem::path&)> tensors(const std::function<void(TensorMap&)>& edit) {
  return [edit](const std::filesystem::path& folder) {
    auto weights = read_safetensors(folder / "model.safetensors").tensors;
    edit(weights);
    write_safetensors(folder / "model.safetensors", weights);
  };
}

std::function<void(const std::filesystem::path&)> file(const std::string& name, const std::string& text) {
  return [=](const std::filesystem::path& folder) { write_text(folder / name, text); };
}

std::function<void(const std::filesystem::path&)> key(const std::string& name, const Json& changes) {
  return [=](const std::filesystem::path& folder) {
    auto json = parse_json_file(folder / name);
    json.merge_patch(changes);
    write_text(folder / name, json.dump());
  };
}

TEST(ClipReward, ABrokenFolderIsNamed) {
  for (const auto& [word, spoil] :
       std::vector<std::pair<std::string, std::function<void(const std::filesystem::path&)>>>{
           {"missing: visual_projection.weight",
            tensors([](TensorMap& t) { t.erase("visual_projection.weight"); })},
           {"not of this model: extra", tensors([](TensorMap& t) { t["extra"] = at::zeros({2}); })},
           {"logit_scale is [1], not []", tensors([](TensorMap& t) { t["logit_scale"] = at::zeros({1}); })},
           {"position_embedding.weight is [5, 16], not [17, 16]",
            key("config.json", {{"vision_config", {{"patch_size", 4}}}})},
           {"text_model.encoder.layers.2.",
            key("config.json", {{"text_config", {{"num_hidden_layers", 3}}}})},
           {"\"hidden_act\" is \"relu\"", key("config.json", {{"vision_config", {{"hidden_act", "relu"}}}})},
           {"\"num_channels\"", key("config.json", {{"vision_config", {{"num_channels", 1}}}})},
           {"only clip is supported", key("config.json", {{"model_type", "siglip"}})},
           {"config.json", file("config.json", "{")},
           {"model.safetensors", file("model.safetensors", "cut")},
           {"model.safetensors",
            [](const auto& folder) { std::filesystem::remove(folder / "model.safetensors"); }},
           {"CLIPProcessor.save_pretrained",
            [](const auto& folder) { std::filesystem::remove(folder / "preprocessor_config.json"); }},
           {"\"do_pad\"", key("preprocessor_config.json", {{"do_pad", true}})},
           {"pictures of 20 pixels", key("preprocessor_config.json", {{"crop_size", 20}})},
           {"set model_max_length", key("tokenizer_config.json", {{"model_max_length", 20}})},
           {"vocab.json", [](const auto& folder) { std::filesystem::remove(folder / "vocab.json"); }}}) {
    const auto said = said_of(spoil);
    EXPECT_NE(said.find(word), std::string::npos) << word << ": " << said;
  }
}

TEST(ClipReward, AWrongAestheticHeadIsNamed) {
  const auto path = scratch_dir() / "head.safetensors";
  for (const auto& [word, head] : std::vector<std::pair<std::string, TensorMap>>{
           {"no aesthetic head",
            {{"layers.0.weight", at::zeros({4, kEmbed})}, {"layers.9.weight", at::zeros({1, 4})}}},
           {"weight is [1, 11], not [1, 12]", {{"weight", at::zeros({1, 11})}, {"bias", at::zeros({1})}}},
           {"missing: bias", {{"weight", at::zeros({1, kEmbed})}}},
           {"2 numbers", {{"weight", at::zeros({2, kEmbed})}, {"bias", at::zeros({2})}}},
           {"not of this model: scale",
            {{"weight", at::zeros({1, kEmbed})}, {"bias", at::zeros({1})}, {"scale", at::zeros({1})}}}}) {
    write_safetensors(path, head);
    const auto caught = refusal(config_with({{"scores", {"aesthetic"}}, {"aesthetic", path.string()}}));
    EXPECT_EQ(caught.place, "/rewards/1/config/aesthetic");
    EXPECT_NE(caught.message.find(word), std::string::npos) << word << ": " << caught.message;
  }
}

}  // namespace
}  // namespace thalweg::testing
