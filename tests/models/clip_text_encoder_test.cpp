#include "engine/models/text/clip_text_encoder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "engine/core/error.h"

namespace thalweg {
namespace {

ClipTextConfig small_config() {
  ClipTextConfig c;
  c.vocab_size = 20;
  c.max_position_embeddings = 8;
  c.hidden_size = 8;
  c.intermediate_size = 16;
  c.projection_dim = 6;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.eos_token_id = 19;
  return c;
}

TensorMap random_weights(const ClipTextConfig& config) {
  Binder declare;
  ClipTextEncoder::bind(config, declare);
  return initial_parameters(declare.specs(), 3);
}

at::Tensor ids(const std::vector<int64_t>& row) {
  return at::tensor(row, at::kLong).unsqueeze(0);
}

template <typename Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// Counted once with transformers: CLIPTextModelWithProjection of CLIP-L and of OpenCLIP bigG's config.
TEST(ClipTextEncoder, DeclaresTheParametersOfStableDiffusion3) {
  const auto count = [](const char* text) {
    Binder declare;
    ClipTextEncoder::bind(ClipTextEncoder::parse(parse_json(text, "clip"), "clip"), declare);
    int64_t parameters = 0;
    for (const auto& spec : declare.specs()) parameters += c10::multiply_integers(spec.shape);
    return parameters;
  };
  EXPECT_EQ(
      count(R"({"hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,"projection_dim":768})"),
      123650304);
  EXPECT_EQ(
      count(R"({"hidden_size":1280,"intermediate_size":5120,"num_attention_heads":20,"num_hidden_layers":32,
                      "projection_dim":1280,"hidden_act":"gelu"})"),
      694659840);
}

TEST(ClipTextEncoder, LaterTokensDoNotReachBack) {
  const auto config = small_config();
  const auto weights = random_weights(config);
  const auto encoder = ClipTextEncoder::bind(config, Binder(weights, "clip"));
  const auto a = encoder(ids({1, 2, 3, 4, 5, 19})), b = encoder(ids({1, 2, 3, 9, 19, 19}));
  EXPECT_TRUE(at::allclose(a.last_BLD.slice(1, 0, 3), b.last_BLD.slice(1, 0, 3), 1e-6, 1e-6));
  EXPECT_FALSE(at::allclose(a.last_BLD.slice(1, 3, 4), b.last_BLD.slice(1, 3, 4), 1e-3, 1e-3));
}

TEST(ClipTextEncoder, PoolsAtTheFirstEndToken) {
  auto config = small_config();
  const auto weights = random_weights(config);
  const auto pooled_at = [&](int64_t eos, const std::vector<int64_t>& row) {
    config.eos_token_id = eos;
    const auto f = ClipTextEncoder::bind(config, Binder(weights, "clip"))(ids(row));
    const auto projected_LP = at::linear(f.last_BLD[0], weights.at("text_projection.weight"));
    return (projected_LP - f.pooled_BP).abs().sum(1).argmin().item<int64_t>();
  };
  EXPECT_EQ(pooled_at(15, {1, 4, 15, 15, 19, 0}), 2);
  EXPECT_EQ(pooled_at(15, {1, 4, 5, 6, 7, 8}), 0);   // no end token
  EXPECT_EQ(pooled_at(2, {1, 2, 5, 19, 19, 2}), 3);  // legacy: the first of the largest ids
}

TEST(ClipTextEncoder, PenultimateIsWhatTheLastLayerReads) {
  auto config = small_config();
  config.num_hidden_layers = 1;
  const auto weights = random_weights(config);
  const auto f = ClipTextEncoder::bind(config, Binder(weights, "clip"))(ids({3, 19}));
  const auto expected = weights.at("text_model.embeddings.token_embedding.weight")[3] +
                        weights.at("text_model.embeddings.position_embedding.weight")[0];
  EXPECT_TRUE(at::equal(f.penultimate_BLD[0][0], expected));
}

TEST(ClipTextEncoder, IsDifferentiable) {
  const auto config = small_config();
  auto weights = random_weights(config);
  std::vector<at::Tensor> leaves;
  for (auto& [name, tensor] : weights) leaves.push_back(tensor.requires_grad_(true));
  const auto f = ClipTextEncoder::bind(config, Binder(weights, "clip"))(ids({1, 2, 3, 19}));
  const auto loss = f.pooled_BP.square().sum() + f.penultimate_BLD.square().sum();
  const auto gradients = torch::autograd::grad({loss}, leaves);
  size_t i = 0;
  for (const auto& [name, tensor] : weights) {
    // A bias of the keys adds the same to every logit of a row.
    if (!name.ends_with("k_proj.bias")) {
      EXPECT_GT(gradients[i].abs().max().item<double>(), 1e-7) << name;
    }
    ++i;
  }
}

TEST(ClipTextEncoder, RefusesIdsThatAreNotItsOwn) {
  const auto config = small_config();
  const auto weights = random_weights(config);
  const auto encoder = ClipTextEncoder::bind(config, Binder(weights, "clip"));
  const auto said = [&](const std::vector<int64_t>& row) { return complaint([&] { encoder(ids(row)); }); };
  EXPECT_EQ(said({0, 19}), "");
  EXPECT_NE(said({0, 20}).find("outside of the text encoder's vocabulary of 20"), std::string::npos);
  EXPECT_NE(said({-1}).find("outside of"), std::string::npos);
  EXPECT_NE(said({}).find("1 to 8 tokens"), std::string::npos);
  EXPECT_NE(said(std::vector<int64_t>(9, 1)).find("1 to 8 tokens"), std::string::npos);
}

TEST(ClipTextEncoder, RefusesWhatItDoesNotSupportByName) {
  const auto said = [](const char* text) {
    return complaint([&] { ClipTextEncoder::parse(parse_json(text, "test"), "text_encoder/config.json"); });
  };
  EXPECT_EQ(said("{}"), "");
  const auto refuses = [&](const char* text, const std::string& message) {
    EXPECT_EQ(said(text).rfind("text_encoder/config.json: ", 0), 0u) << text;
    EXPECT_NE(said(text).find(message), std::string::npos) << said(text);
  };
  refuses(R"({"model_type":"t5"})", "\"model_type\" is \"t5\"");
  refuses(R"({"hidden_act":"relu"})", "quick_gelu and gelu");
  refuses(R"({"hidden_size":30,"num_attention_heads":4})", "multiple of \"num_attention_heads\"");
  refuses(R"({"num_hidden_layers":0})", "\"num_hidden_layers\" must be a whole number from 1");
  refuses(R"({"eos_token_id":[1,2]})", "\"eos_token_id\" must be a whole number");
  refuses(R"({"vocab_size":1e3})", "\"vocab_size\"");
  refuses(R"({"layer_norm_eps":"1e-5"})", "\"layer_norm_eps\" must be a number");
}

}  // namespace
}  // namespace thalweg
