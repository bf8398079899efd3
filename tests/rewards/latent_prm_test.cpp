// The bundled latent process reward, through the host.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <fstream>

#include "engine/core/json.h"
#include "engine/models/process_reward/process_reward.h"
#include "engine/optim/gradients.h"
#include "engine/weights/safetensors.h"
#include "rewards/differentiable.h"
#include "rewards/plugin_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

constexpr const char* kModel = "assets/models/tiny-sd3";

ProcessRewardConfig config_of(const std::string& network) {
  ProcessRewardConfig c;
  c.network = network;
  c.backbone.path = kModel;
  c.backbone.depth = 2;
  c.backbone.max_sequence_length = 1;
  c.own = {16, 1, 1, 8, 64};
  c.head = {16, 2, 2, "attention"};
  c.scale = 0.5;
  c.offset = 2.0;
  return c;
}

// A network whose last layer is not 0, as it starts.
TensorMap parameters_of(const ProcessReward& reward, uint64_t seed = 3) {
  auto parameters = initial_parameters(reward.specs(), seed);
  for (auto& [name, tensor] : parameters)
    if (name.ends_with("out_2.weight") || name.ends_with("lora_B.weight"))
      tensor = at::sin(at::arange(tensor.numel(), at::kFloat)).view(tensor.sizes());
  return parameters;
}

std::filesystem::path saved(const std::string& name, ProcessRewardConfig config) {
  const auto folder = scratch_dir() / name;
  if (config.network == "backbone") config.backbone.sha256 = backbone_sha256(kModel, config.backbone);
  const ProcessReward reward(config, kModel, at::kCPU);
  save_process_reward(folder, config, parameters_of(reward));
  return folder;
}

ScoreInput input_of(int64_t B) {
  ScoreInput input;
  input.latents_BCFHW = at::sin(at::arange(B * 4 * 256, at::kFloat)).view({B, 4, 1, 16, 16});
  input.sigmas_B = at::linspace(0.1, 0.9, B, at::kDouble);
  for (int64_t b = 0; b < B; ++b) input.prompts.push_back(b % 2 == 0 ? "a red circle" : "two blue squares");
  return input;
}

std::unique_ptr<PluginReward> plugin_of(const std::filesystem::path& folder) {
  return std::make_unique<PluginReward>(plugin_library("latent_prm"), Json{{"path", folder.string()}},
                                        Activation{});
}

class OfBoth : public ::testing::TestWithParam<const char*> {};

TEST_P(OfBoth, ScoresAsItsNetworkDoes) {
  const auto config = config_of(GetParam());
  const auto folder = saved(std::string("scores-") + GetParam(), config);
  const auto plugin = plugin_of(folder);
  EXPECT_TRUE(plugin->info().required.latents && plugin->info().required.prompts &&
              !plugin->info().required.frames);
  EXPECT_EQ(plugin->info().dimensions_K, std::vector<std::string>{"value"});
  const auto input = input_of(5);
  const ProcessReward reward(config, kModel, at::kCPU);
  const auto u = reward.bind(parameters_of(reward), "here");
  const auto expected =
      2.0 + 0.5 * u(input.latents_BCFHW, input.sigmas_B, reward.features().encode(input.prompts));
  const auto values = plugin->score(input).values_BK.squeeze(1);
  EXPECT_TRUE(at::allclose(values.to(at::kFloat), expected, 0, 1e-5));
  EXPECT_GT(values.std().item<double>(), 1e-3);
}

TEST_P(OfBoth, ItsGradientIsThatOfItsValue) {
  const std::shared_ptr<PluginReward> plugin =
      plugin_of(saved(std::string("gradient-") + GetParam(), config_of(GetParam())));
  auto input = input_of(2);
  input.latents_BCFHW.requires_grad_(true);
  const auto values = differentiable_score(plugin, input, expect_no_failures);
  const auto gradient = torch::autograd::grad({values.sum()}, {input.latents_BCFHW})[0];
  const auto direction = at::cos(at::arange(input.latents_BCFHW.numel(), at::kFloat)).view(gradient.sizes());
  const auto at_step = [&](double h) {
    auto moved = input_of(2);
    moved.latents_BCFHW = moved.latents_BCFHW + h * direction;
    return plugin->score(moved).values_BK.sum().item<double>();
  };
  const double expected = (at_step(1e-2) - at_step(-1e-2)) / 2e-2;
  EXPECT_NEAR((gradient * direction).sum().item<double>(), expected, 2e-2 * std::abs(expected) + 1e-4);
}

TEST_P(OfBoth, ASampleThatIsNoNumberSpoilsNoOther) {
  const auto plugin = plugin_of(saved(std::string("nan-") + GetParam(), config_of(GetParam())));
  auto input = input_of(3);
  const auto before = plugin->score(input).values_BK;
  input.latents_BCFHW[1].fill_(NAN);
  const auto after = plugin->score(input);
  EXPECT_TRUE(std::isnan(after.values_BK[1][0].item<double>()));
  for (const int64_t b : {0, 2})
    EXPECT_NEAR(after.values_BK[b][0].item<double>(), before[b][0].item<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(LatentPrm, OfBoth, ::testing::Values("backbone", "own"));

TEST(LatentPrm, ALoraStartsAsTheFrozenBlocks) {
  auto config = config_of("backbone");
  const auto input = input_of(3);
  const auto value = [&](int64_t rank, bool started) {
    config.backbone.rank = rank;
    const ProcessReward reward(config, kModel, at::kCPU);
    auto parameters = parameters_of(reward);
    for (auto& [name, tensor] : parameters)
      if (started && name.ends_with("lora_B.weight")) tensor.zero_();
    return reward.bind(parameters, "here")(input.latents_BCFHW, input.sigmas_B,
                                           reward.features().encode(input.prompts));
  };
  EXPECT_TRUE(at::allclose(value(0, true), value(4, true), 0, 1e-5));
  EXPECT_FALSE(at::allclose(value(0, true), value(4, false), 0, 1e-3));
}

// What is learned is float32 whatever the blocks are.
TEST(LatentPrm, ALoraOnBlocksOf16BitsHasGradients) {
  auto config = config_of("backbone");
  config.backbone.dtype = "bfloat16";
  config.backbone.rank = 2;
  const ProcessReward reward(config, kModel, at::kCPU);
  auto parameters = leaves(parameters_of(reward));
  const auto input = input_of(2);
  const auto u = reward.bind(parameters, "here")(input.latents_BCFHW, input.sigmas_B,
                                                 reward.features().encode(input.prompts));
  const auto gradients = gradients_of(u.sum(), parameters);
  const auto& of_lora = gradients.at("features.transformer_blocks.0.attn.to_q.lora_A.weight");
  EXPECT_EQ(of_lora.scalar_type(), at::kFloat);
  EXPECT_GT(of_lora.abs().max().item<double>(), 0.0);
}

TEST(LatentPrm, RefusesWhatDoesNotFit) {
  const auto folder = saved("refused", config_of("backbone"));
  const auto refusal = [&](const char* key, const Json& value) {
    const auto other = scratch_dir() / "changed";
    std::filesystem::create_directories(other);
    std::filesystem::copy(
        folder, other,
        std::filesystem::copy_options::overwrite_existing | std::filesystem::copy_options::recursive);
    auto config = parse_json_file(folder / "config.json");
    config[Json::json_pointer("/backbone/path")] = std::filesystem::absolute(kModel).string();
    config[Json::json_pointer(key)] = value;
    write_file(other / "config.json", config.dump());
    return error_of([&] { plugin_of(other); }).message;
  };
  EXPECT_NE(refusal("/_class_name", "CLIPModel").find("train_reward"), std::string::npos);
  EXPECT_NE(refusal("/version", 2).find("another version"), std::string::npos);
  EXPECT_NE(refusal("/backbone/depth", 7).find("has 6 blocks"), std::string::npos);
  EXPECT_NE(refusal("/backbone/sha256", "0").find("sha256"), std::string::npos);
  EXPECT_NE(refusal("/backbone/path", "/nowhere").find("/nowhere"), std::string::npos);
  EXPECT_NE(refusal("/backbone/path", std::filesystem::absolute("assets/laboratory/line").string())
                .find("GaussianMixturePipeline"),
            std::string::npos);
  EXPECT_NE(refusal("/head/width", 32).find("another shape"), std::string::npos);
  EXPECT_NE(refusal("/network", "unet").find("network must be"), std::string::npos);
  EXPECT_NE(error_of([&] { plugin_of(scratch_dir() / "absent"); }).message.find("absent"), std::string::npos);
}

TEST(LatentPrm, LatentsOfAnotherShapeAreAFailureThatSaysSo) {
  const auto plugin = plugin_of(saved("shape", config_of("backbone")));
  auto input = input_of(2);
  input.latents_BCFHW = at::zeros({2, 16, 1, 16, 16});
  const auto scored = plugin->score(input);
  EXPECT_TRUE(scored.values_BK.isnan().all().item<bool>());
  EXPECT_NE(only(scored.failures).find("do not fit its backbone"), std::string::npos);
}

}  // namespace
}  // namespace thalweg::testing
