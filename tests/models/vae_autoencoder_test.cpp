#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/models/vae/autoencoder_kl.h"

namespace thalweg {
namespace {

AutoencoderKlConfig small_config() {
  AutoencoderKlConfig c;
  c.block_out_channels = {4, 8};
  c.norm_num_groups = 2;
  c.latent_channels = 3;
  return c;
}

TensorMap random_weights(const AutoencoderKlConfig& config, at::ScalarType dtype) {
  Binder declare;
  AutoencoderKl::bind(config, declare);
  auto weights = initial_parameters(declare.specs(), 7);
  for (auto& [name, tensor] : weights) tensor = tensor.to(dtype);
  return weights;
}

at::Tensor noise(at::IntArrayRef shape, at::ScalarType dtype = at::kDouble) {
  return at::sin(at::arange(c10::multiply_integers(shape), dtype) * 1.7).view(shape);
}

std::string complaint(const Json& config) {
  try {
    AutoencoderKl::parse(config, "vae/config.json");
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// Counted once with diffusers 0.42.1: AutoencoderKL of Stable Diffusion 3's config.
TEST(AutoencoderKl, DeclaresTheParametersOfStableDiffusion3) {
  const auto config = AutoencoderKl::parse(
      parse_json(R"({"block_out_channels":[128,256,512,512],"layers_per_block":2,"latent_channels":16,
        "down_block_types":["DownEncoderBlock2D","DownEncoderBlock2D","DownEncoderBlock2D","DownEncoderBlock2D"],
        "up_block_types":["UpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D"],
        "norm_num_groups":32,"use_quant_conv":false,"use_post_quant_conv":false,"scaling_factor":1.5305,
        "shift_factor":0.0609,"act_fn":"silu","sample_size":1024})",
                 "sd3"),
      "sd3");
  EXPECT_EQ(config.factor(), 8);
  Binder declare;
  AutoencoderKl::bind(config, declare);
  int64_t parameters = 0;
  for (const auto& spec : declare.specs()) parameters += c10::multiply_integers(spec.shape);
  EXPECT_EQ(declare.specs().size(), 244u);
  EXPECT_EQ(parameters, 83819683);
}

TEST(AutoencoderKl, SidesFollowTheFactor) {
  const auto config = small_config();
  const auto weights = random_weights(config, at::kFloat);
  Binder binder(weights, "weights");
  const auto vae = AutoencoderKl::bind(config, binder);
  binder.finish();
  c10::NoGradGuard no_grad;
  const auto moments = vae.encode_moments(noise({2, 3, 6, 10}, at::kFloat));
  EXPECT_EQ(moments.sizes(), (std::vector<int64_t>{2, 6, 3, 5}));
  EXPECT_EQ(vae.decode(moments.slice(1, 0, 3)).sizes(), (std::vector<int64_t>{2, 3, 6, 10}));
}

TEST(AutoencoderKl, EveryParameterGetsItsGradient) {
  const auto config = small_config();
  auto weights = random_weights(config, at::kDouble);
  std::vector<at::Tensor> leaves;
  for (auto& [name, tensor] : weights) {
    tensor.requires_grad_(true);
    leaves.push_back(tensor);
  }
  const auto vae = AutoencoderKl::bind(config, Binder(weights, "weights"));
  const auto x = noise({1, 3, 4, 6});
  const auto value = [&] {
    const auto moments = vae.encode_moments(x);
    return vae.decode(moments.slice(1, 0, 3)).square().sum() + moments.square().sum();
  };
  const auto gradients = torch::autograd::grad({value()}, leaves);
  // Along each parameter's own gradient the value rises by |g|^2: central differences.
  c10::NoGradGuard no_grad;
  size_t i = 0;
  for (auto& [name, tensor] : weights) {
    const auto direction = gradients[i] / gradients[i].norm().clamp_min(1e-30);
    const auto slope = (gradients[i] * direction).sum().item<double>();
    ++i;
    if (name.ends_with("to_k.bias")) {  // adds the same to every logit of a row
      EXPECT_NEAR(slope, 0.0, 1e-9) << name;
      continue;
    }
    constexpr double kStep = 1e-5;
    tensor.add_(direction, kStep);
    const double above = value().item<double>();
    tensor.sub_(direction, 2 * kStep);
    const double below = value().item<double>();
    tensor.add_(direction, kStep);
    EXPECT_GT(slope, 0.0) << name;
    EXPECT_NEAR((above - below) / (2 * kStep), slope, 1e-5 * (1.0 + slope)) << name;
  }
}

// Rewards of pictures are differentiated by the latents: in double precision by differences, in float32,
// where passes are fused, against that.
TEST(AutoencoderKl, LatentsGetTheirGradientFromFrozenWeights) {
  for (const int64_t channels : {4, 16}) {  // 16: the pass that takes channels side by side
    auto config = small_config();
    config.block_out_channels = {channels, 2 * channels};
    const auto gradient = [&](at::ScalarType dtype, const at::Tensor& z) {
      const auto weights = random_weights(config, dtype);
      const auto vae = AutoencoderKl::bind(config, Binder(weights, "weights"));
      const auto x = z.to(dtype).requires_grad_();
      return torch::autograd::grad({frames_from_pictures(vae.decode(x)).sin().sum()}, {x})[0];
    };
    const auto z = noise({2, 3, 3, 5});
    const auto exact = gradient(at::kDouble, z);
    ASSERT_GT(exact.abs().max().item<double>(), 1e-3);
    EXPECT_LT((gradient(at::kFloat, z) - exact).abs().max().item<double>(),
              1e-4 * exact.abs().max().item<double>());
    const auto weights = random_weights(config, at::kDouble);
    const auto vae = AutoencoderKl::bind(config, Binder(weights, "weights"));
    for (int64_t i = 0; i < z.numel(); i += 7) {
      auto direction = at::zeros_like(z);
      direction.view({-1})[i] = 1e-5;
      const auto value = [&](const at::Tensor& at) {
        return frames_from_pictures(vae.decode(at)).sin().sum().item<double>();
      };
      const double slope = (value(z + direction) - value(z - direction)) / 2e-5;
      EXPECT_NEAR(exact.reshape({-1})[i].item<double>(), slope, 1e-6 * (1.0 + std::abs(slope))) << i;
    }
  }
}

TEST(AutoencoderKl, InferenceGivesTheNumbersOfTraining) {
  const auto config = small_config();
  auto weights = random_weights(config, at::kFloat);
  for (auto& [name, tensor] : weights) tensor.requires_grad_(true);
  const auto vae = AutoencoderKl::bind(config, Binder(weights, "weights"));
  const auto x = noise({1, 3, 4, 6}, at::kFloat), z = noise({1, 3, 2, 3}, at::kFloat);
  const auto x_before = x.clone(), z_before = z.clone();
  const auto moments = vae.encode_moments(x), pictures = vae.decode(z);
  ASSERT_TRUE(moments.requires_grad());
  c10::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(vae.encode_moments(x), moments));
  EXPECT_TRUE(at::equal(vae.decode(z), pictures));
  // Work in place never reaches the caller's tensors.
  EXPECT_TRUE(at::equal(x, x_before));
  EXPECT_TRUE(at::equal(z, z_before));
}

TEST(AutoencoderKl, ScalesLatentsBothWays) {
  auto config = small_config();
  config.scaling_factor = 4.0;
  config.shift_factor = 0.5;
  const auto weights = random_weights(config, at::kDouble);
  const auto vae = AutoencoderKl::bind(config, Binder(weights, "weights"));
  EXPECT_EQ(vae.scaled(at::scalar_tensor(0.75, at::kDouble)).item<double>(), 1.0);
  EXPECT_EQ(vae.unscaled(at::scalar_tensor(1.0, at::kDouble)).item<double>(), 0.75);
  const auto frames = frames_from_pictures(at::tensor({-3.0, -1.0, 0.0, 1.0, 1.5}));
  EXPECT_TRUE(at::equal(frames, at::tensor({0.0, 0.0, 0.5, 1.0, 1.0})));
}

TEST(AutoencoderKl, RefusesWhatItDoesNotSupportByName) {
  EXPECT_EQ(complaint(Json::object()), "");
  const auto refuses = [](const char* text, const std::string& message) {
    const auto said = complaint(parse_json(text, "test"));
    EXPECT_EQ(said.rfind("vae/config.json: ", 0), 0u) << text;
    EXPECT_NE(said.find(message), std::string::npos) << said;
  };
  refuses(R"({"down_block_types":["AttnDownEncoderBlock2D"]})", "names \"AttnDownEncoderBlock2D\"");
  refuses(R"({"up_block_types":["UpBlock2D"]})", "\"up_block_types\" names \"UpBlock2D\"");
  refuses(R"({"block_out_channels":[32,64]})", "has 1 blocks, \"block_out_channels\" 2");
  refuses(R"({"act_fn":"gelu"})", "only silu");
  refuses(R"({"block_out_channels":[48]})", "multiples of \"norm_num_groups\"");
  refuses(R"({"block_out_channels":[0]})", "\"block_out_channels[0]\" must be a whole number from 1");
  refuses(R"({"block_out_channels":[]})", "a list of 1 to 8");
  refuses(R"({"latent_channels":-4})", "\"latent_channels\"");
  refuses(R"({"layers_per_block":1e9})", "\"layers_per_block\"");
  refuses(R"({"scaling_factor":0})", "\"scaling_factor\"");
  refuses(R"({"latents_mean":[0.1]})", "\"latents_mean\" is not supported");
  refuses(R"({"use_quant_conv":1})", "must be true or false");
  refuses("[]", "must be a JSON object");
}

TEST(AutoencoderKl, ListsTensorsThatDoNotFit) {
  const auto config = small_config();
  auto weights = random_weights(config, at::kFloat);
  weights.erase("decoder.mid_block.attentions.0.to_q.bias");
  weights["encoder.conv_in.weight"] = at::ones({4, 3, 1, 1});
  weights["loss.logvar"] = at::zeros({1});
  Binder binder(weights, "vae");
  AutoencoderKl::bind(config, binder);
  try {
    binder.finish();
    FAIL();
  } catch (const Error& e) {
    for (const char* part : {"missing: decoder.mid_block.attentions.0.to_q.bias", "encoder.conv_in.weight is",
                             "not of this model: loss.logvar"})
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace thalweg
