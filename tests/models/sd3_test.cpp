#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/models/sd3/sd3_model.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "engine/optim/gradients.h"
#include "tests/golden/small_sd3.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

class Sd3 : public ::testing::Test {
 protected:
  static Step at_sigma(const std::vector<double>& sigmas, const std::vector<int64_t>& slots) {
    const auto sigma_B = at::tensor(sigmas, at::kDouble);
    return {sigma_B, sigma_B * 0.5, -1, slots};
  }

  const std::vector<int64_t> slots_ = {1, 2, 3};
  const Sd3TransformerConfig config_ = small_sd3_config();
  const TensorMap weights_ = small_sd3_weights(config_, 1);
  const Conditioning conditioning_ = small_sd3_conditioning(config_, slots_);
  const at::Tensor x_ = small_sd3_noise(slots_);
  const Step step_ = at_sigma({0.9, 0.5, 0.1}, slots_);
  const Velocity velocity_ = small_sd3_velocity(config_, weights_);
};

// Counted once with diffusers: SD3Transformer2DModel of Stable Diffusion 3 medium, its position table apart.
TEST(Sd3Transformer, DeclaresTheParametersOfStableDiffusion3) {
  Sd3TransformerConfig c;
  c.num_layers = c.num_attention_heads = 24;
  c.caption_projection_dim = 1536;
  c.pos_embed_max_size = 192;
  int64_t parameters = 0, fixed = 0;
  for (const auto& spec : sd3_specs(c)) {
    (spec.init == Init::fixed ? fixed : parameters) += c10::multiply_integers(spec.shape);
  }
  EXPECT_EQ(parameters, 2028328000);
  EXPECT_EQ(fixed, 192 * 192 * 1536);
}

// The shape of Stable Diffusion 3.5 medium: every layer that a LoRA may adapt has its name in the original
// code.
TEST(Sd3Transformer, KnowsTheNamesOfTheOriginalCode) {
  Sd3TransformerConfig c;
  c.num_layers = c.num_attention_heads = 24;
  c.caption_projection_dim = 1536;
  c.qk_norm = true;
  for (int64_t i = 0; i < 13; ++i) c.dual_attention_layers.push_back(i);
  const auto names = sd3_lora_names(c);
  EXPECT_EQ(names.layers.size(), 393u);
  std::set<std::string> named = {"context_embedder"};
  std::vector<std::string> turned;
  for (const auto& original : names.originals) {
    named.insert(original.layers.begin(), original.layers.end());
    if (original.halves_swapped) turned.push_back(original.name);
  }
  EXPECT_EQ(named.size(), names.layers.size());
  EXPECT_EQ(turned, (std::vector<std::string>{"joint_blocks.23.context_block.adaLN_modulation.1",
                                              "final_layer.adaLN_modulation.1"}));
  const LoraResolver resolver(names);  // no two names collide once their dots are underscores
  EXPECT_EQ(sd3_architecture(c), "stable-diffusion-v3.5-medium");
  c.qk_norm = false;
  EXPECT_EQ(sd3_architecture(c), "stable-diffusion-v3-medium");
  c.num_layers = 2;
  EXPECT_EQ(sd3_architecture(c), "stable-diffusion-v3");
}

TEST_F(Sd3, SamplesDoNotSeeEachOther) {
  const auto all = velocity_(x_, step_, conditioning_);
  ASSERT_EQ(all.sizes(), x_.sizes());
  for (int64_t b = 0; b < 3; ++b) {
    const auto alone = velocity_(
        x_.slice(0, b, b + 1), at_sigma({step_.sigma_B[b].item<double>()}, {slots_[static_cast<size_t>(b)]}),
        conditioning_.slice(b, b + 1));
    EXPECT_LT((alone[0] - all[b]).abs().max().item<double>(), 1e-5) << b;
  }
}

TEST_F(Sd3, EveryInputAndEveryParameterMatters) {
  const auto base = velocity_(x_, step_, conditioning_);
  const auto differs = [&](const at::Tensor& other) {
    return (other - base).abs().max().item<double>() > 1e-4;
  };
  EXPECT_TRUE(differs(velocity_(x_ * 1.1, step_, conditioning_)));
  EXPECT_TRUE(differs(velocity_(x_, at_sigma({0.8, 0.4, 0.2}, slots_), conditioning_)));
  for (const char* name : {"prompt_embeds", "pooled_prompt_embeds"}) {
    auto other = conditioning_;
    other.tensors[name] = other.tensors[name] * 1.5;
    EXPECT_TRUE(differs(velocity_(x_, step_, other))) << name;
  }
  const auto parameters = leaves(weights_);
  const auto loss = small_sd3_velocity(config_, parameters)(x_, step_, conditioning_).square().sum();
  const auto gradients = gradients_of(loss, parameters);
  EXPECT_EQ(gradients.size(), parameters.size());
  // The last block throws its context stream away, so nothing sees what its prompt tokens ask for.
  const std::set<std::string> unseen = {"transformer_blocks.1.attn.add_q_proj.weight",
                                        "transformer_blocks.1.attn.add_q_proj.bias",
                                        "transformer_blocks.1.attn.norm_added_q.weight"};
  for (const auto& [name, gradient] : gradients)
    EXPECT_EQ(gradient.abs().max().item<double>() > 0.0, unseen.count(name) == 0) << name;
}

TEST_F(Sd3, Float32AgreesWithFloat64) {
  const auto wide = small_sd3_weights(config_, 1, at::kDouble);
  auto c = conditioning_;
  for (auto& [name, tensor] : c.tensors) tensor = tensor.to(at::kDouble);
  const auto exact = small_sd3_velocity(config_, wide)(x_.to(at::kDouble), step_, c);
  EXPECT_EQ(exact.scalar_type(), at::kDouble);
  EXPECT_LT((velocity_(x_, step_, conditioning_) - exact).abs().max().item<double>(), 1e-4);
}

TEST_F(Sd3, AFreshAdapterIsTheIdentityBitForBit) {
  const auto specs = sd3_specs(config_);
  auto adapter = make_adapter(
      specs, linear_modules(specs, {"attn.to_q", "attn.add_k_proj", "attn.to_out.0"}, ""), {4, 8.0}, 3);
  const auto base = velocity_(x_, step_, conditioning_);
  EXPECT_TRUE(at::equal(small_sd3_velocity(config_, weights_, &adapter)(x_, step_, conditioning_), base));
  for (auto& [name, tensor] : adapter.tensors)
    if (name.ends_with("lora_B.weight")) tensor.fill_(0.1);
  const auto adapted = small_sd3_velocity(config_, weights_, &adapter)(x_, step_, conditioning_);
  EXPECT_GT((adapted - base).abs().max().item<double>(), 1e-3);
  // And it is what merging says it is.
  auto merged = weights_;
  for (const auto& [name, b] : adapter.tensors) {
    if (!name.ends_with("lora_B.weight")) continue;
    const auto module = name.substr(0, name.size() - std::string(".lora_B.weight").size());
    merged[module + ".weight"] = weights_.at(module + ".weight") +
                                 at::mm(b, adapter.tensors.at(module + ".lora_A.weight")) * adapter.scale;
  }
  EXPECT_LT(
      (small_sd3_velocity(config_, merged)(x_, step_, conditioning_) - adapted).abs().max().item<double>(),
      1e-5);
}

TEST_F(Sd3, AFreshModelPredictsNothing) {
  auto weights = initial_parameters(sd3_specs(config_), 1);
  weights["pos_embed.pos_embed"] = sd3_position_table(config_);
  EXPECT_EQ(small_sd3_velocity(config_, weights)(x_, step_, conditioning_).abs().max().item<double>(), 0.0);
}

TEST_F(Sd3, TakesOtherSizesAndRefusesOddOnes) {
  const auto x = normal_noise(1, Purpose::data, {0}, 0, {4, 1, 4, 12});
  const auto c = small_sd3_conditioning(config_, {0});
  EXPECT_EQ(velocity_(x, at_sigma({0.5}, {0}), c).sizes(), x.sizes());
  for (const auto& shape : {std::vector<int64_t>{4, 1, 5, 4}, {4, 1, 14, 4}})
    EXPECT_THROW(velocity_(normal_noise(1, Purpose::data, {0}, 0, shape), at_sigma({0.5}, {0}), c),
                 c10::Error);
}

// The middle of the table's grid sits at half the sample's patches, whatever the table's size.
TEST_F(Sd3, PositionTableIsTheSineTable) {
  const auto table = sd3_position_table(config_);
  ASSERT_EQ(table.sizes(), at::IntArrayRef({1, 36, 16}));
  const int64_t row = 4, column = 1, quarter = 4;
  const auto at_place = table[0][row * 6 + column];
  for (int64_t k = 0; k < quarter; ++k) {
    const double omega = std::pow(10000.0, -static_cast<double>(k) / 4.0);
    const double x = column * (4.0 / 6.0) * omega, y = row * (4.0 / 6.0) * omega;
    EXPECT_NEAR(at_place[k].item<double>(), std::sin(x), 1e-6);
    EXPECT_NEAR(at_place[quarter + k].item<double>(), std::cos(x), 1e-6);
    EXPECT_NEAR(at_place[2 * quarter + k].item<double>(), std::sin(y), 1e-6);
    EXPECT_NEAR(at_place[3 * quarter + k].item<double>(), std::cos(y), 1e-6);
  }
}

TEST(Sd3Config, ReadsAndRefuses) {
  const auto parsed = [](const std::string& fields) {
    return parse_sd3_transformer_config(
        parse_json(
            R"({"num_attention_heads":2,"attention_head_dim":8,"caption_projection_dim":16,"num_layers":3)" +
                fields + "}",
            "t"),
        "transformer/config.json");
  };
  const auto c =
      parsed(R"(,"qk_norm":"rms_norm","dual_attention_layers":[0,2],"in_channels":4,"out_channels":null)");
  EXPECT_TRUE(c.qk_norm);
  EXPECT_EQ(c.dual_attention_layers, (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(c.out_channels, 4);
  EXPECT_FALSE(parsed(R"(,"qk_norm":null)").qk_norm);
  EXPECT_ERROR(parsed(R"(,"qk_norm":"layer_norm")"), "transformer/config.json: qk_norm knows");
  EXPECT_ERROR(parsed(R"(,"dual_attention_layers":[3])"), "names a layer that is not there");
  EXPECT_ERROR(parsed(R"(,"in_channels":4,"out_channels":8)"), "out_channels must equal in_channels");
  EXPECT_ERROR(parsed(R"(,"patch_size":0)"), "patch_size");
  EXPECT_ERROR(parsed(R"(,"sample_size":"64")"), "sample_size");
}

// At full size the activations of one picture are gigabytes.
TEST(Sd3Model, LargePicturesAreDecodedOneByOne) {
  EXPECT_EQ(AutoencoderKlConfig::pictures_at_once(1024, 1024), 1);
  EXPECT_EQ(AutoencoderKlConfig::pictures_at_once(2048, 2048), 1);
  EXPECT_EQ(AutoencoderKlConfig::pictures_at_once(512, 512), 4);
  const auto model = load_sd3("assets/models/tiny-sd3", {});
  const auto small = model->latent_shape(64, 64, 1);  // the decoder alone takes more
  const auto z =
      normal_noise(3, Purpose::data, {0, 1, 2}, 0, {small.channels, 1, 12 * small.height, 12 * small.width});
  const c10::NoGradGuard no_grad;
  const auto all = model->decode(z);
  ASSERT_EQ(all.sizes(), at::IntArrayRef({3, 1, 3, 768, 768}));
  EXPECT_TRUE(at::equal(all[2], model->decode(z.slice(0, 2, 3))[0]));
}

// Rewards of pictures lead latents through the whole decoder; whoever wants no gradient has a guard.
TEST(Sd3Model, DecodingIsDifferentiableWhereLatentsAskForIt) {
  const auto model = load_sd3("assets/models/tiny-sd3", {});
  const auto shape = model->latent_shape(32, 32, 1);
  const auto z = normal_noise(3, Purpose::data, {0, 1}, 0, shape.sizes()) * 0.5;
  EXPECT_FALSE(model->decode(z).requires_grad());
  const auto leaf = z.clone().requires_grad_();
  {
    c10::NoGradGuard no_grad;
    EXPECT_FALSE(model->decode(leaf).requires_grad());
  }
  const auto value = [&](const at::Tensor& x) { return model->decode(x).to(at::kDouble).square().sum(); };
  const auto gradient = torch::autograd::grad({value(leaf)}, {leaf})[0].to(at::kDouble);
  ASSERT_EQ(gradient.sizes(), z.sizes());
  // Along the gradient the value rises by its length: central differences, in float32.
  const double length = gradient.norm().item<double>(), step = 1e-2;
  const auto direction = (gradient / length * step).to(at::kFloat);
  const double rise = (value(z + direction) - value(z - direction)).item<double>() / (2.0 * step);
  ASSERT_GT(length, 1.0);
  EXPECT_NEAR(rise, length, 0.02 * length);
}

}  // namespace
}  // namespace thalweg
