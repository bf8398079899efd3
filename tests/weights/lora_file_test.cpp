#include "engine/weights/lora_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/weights/lora_model.h"

namespace thalweg {
namespace {

using testing::complaint;
using testing::Folder;
using testing::lora_model;

TensorMap adapter(int64_t rank = 2) {
  return {{"blocks.0.attn.to_q.lora_A.weight", at::ones({rank, 6})},
          {"blocks.0.attn.to_q.lora_B.weight", at::zeros({5, rank})}};
}

TensorMap prefixed(const TensorMap& tensors) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) result["transformer." + name] = tensor;
  return result;
}

TEST(LoraFile, WritesTheLayoutOfDiffusers) {
  const Folder folder;
  write_lora(folder / "l.safetensors", adapter(), {2, 8.0}, {"attn.to_v", "attn.to_q"},
             {{"modelspec.title", "t"}});
  const auto file = read_safetensors(folder / "l.safetensors");
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors.at("transformer.blocks.0.attn.to_q.lora_A.weight").size(0), 2);
  const Metadata expected{{"format", "pt"},
                          {"lora_adapter_metadata",
                           "{\n  \"transformer.lora_alpha\": 8,\n  \"transformer.r\": 2,\n"
                           "  \"transformer.target_modules\": [\n    \"attn.to_q\",\n"
                           "    \"attn.to_v\"\n  ]\n}"},
                          {"modelspec.title", "t"}};
  EXPECT_EQ(file.metadata, expected);
}

TEST(LoraFile, ReadsBackTensorsAndScale) {
  const Folder folder;
  for (const auto& [alpha, scale] : {std::pair{8.0, 4.0}, {2.0, 1.0}, {0.5, 0.25}}) {
    write_lora(folder / "l", adapter(), {2, alpha}, {"to_q"});
    const auto lora = read_lora(folder / "l", lora_model());
    EXPECT_EQ(lora.scale, scale);
    EXPECT_EQ(lora.matched, 1);
    EXPECT_EQ(lora.strength().rank, 2);
    EXPECT_EQ(lora.strength().alpha, alpha);
    EXPECT_EQ(lora.note(), "");
    EXPECT_TRUE(lora.text_encoder.empty());
    ASSERT_EQ(lora.tensors.size(), 2u);
    EXPECT_TRUE(at::equal(lora.tensors.at("blocks.0.attn.to_q.lora_A.weight"), at::ones({2, 6})));
  }
}

TEST(LoraFile, TakesTheScaleOfTheMetadata) {
  const Folder folder;
  const auto scale = [&](const std::string& metadata) {
    write_safetensors(folder / "l", prefixed(adapter(4)),
                      metadata.empty() ? Metadata{} : Metadata{{"lora_adapter_metadata", metadata}});
    return read_lora(folder / "l", lora_model()).scale;
  };
  EXPECT_EQ(scale(""), 1.0);
  EXPECT_EQ(scale("{}"), 1.0);
  EXPECT_EQ(scale(R"({"text_encoder.r":7})"), 1.0);
  EXPECT_EQ(scale(R"({"transformer.r":4})"), 2.0);  // PEFT's own alpha is 8
  EXPECT_EQ(scale(R"({"transformer.r":4,"transformer.lora_alpha":6,"transformer.use_rslora":true,
                      "transformer.rank_pattern":{},"text_encoder.r":8})"),
            3.0);
  EXPECT_EQ(scale(R"({"transformer.r":9,"transformer.lora_alpha":9,
                      "transformer.rank_pattern":{"to_k":2,"^blocks.0.attn.to_q":4},
                      "transformer.alpha_pattern":{"o_q":1,"attn\\.to_q":12}})"),
            3.0);
}

TEST(LoraFile, NothingApplicableIsAnError) {
  const Folder folder;
  const auto said = [&](const TensorMap& tensors) {
    write_safetensors(folder / "l", tensors);
    return complaint([&] { read_lora(folder / "l", lora_model()); });
  };
  const auto expect = [&](const TensorMap& tensors, std::initializer_list<const char*> texts) {
    const auto message = said(tensors);
    for (const char* text : texts)
      EXPECT_NE(message.find(text), std::string::npos) << text << "\n" << message;
  };
  expect({}, {"holds no tensor"});
  expect({{"x.weight", at::ones({2, 2})}},
         {"no LoRA pair of the model in any known layout", "\"x.weight\" for example",
          "the model has \"blocks.0.attn.to_q\""});
  expect({{"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", at::ones({1, 6})},
          {"transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight", at::ones({5, 1})}},
         {"not one of its 1 modules",
          "single_transformer_blocks.0.attn.to_q\" (diffusers: transformer.*.lora_A.weight)",
          "the model has \"blocks.0.attn.to_q\"", "look like those of FLUX"});
  expect({{"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", at::ones({1, 6})},
          {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight", at::ones({5, 1})}},
         {"kohya: lora_unet_*.lora_down.weight", "those of a U-Net"});
  expect({{"text_encoder.q.lora_A.weight", at::ones({1, 1})}},
         {"no LoRA pair of the model", "text_encoder.q"});
}

TEST(LoraFile, CountsWhatDoesNotMatch) {
  const Folder folder;
  auto tensors = prefixed(adapter());
  for (const char* name : {"a", "b", "c", "d"}) {
    tensors[std::string("transformer.") + name + ".lora_A.weight"] = at::ones({1, 1});
    tensors[std::string("transformer.") + name + ".lora_B.weight"] = at::ones({1, 1});
  }
  tensors["transformer.e.weight"] = at::ones({1});
  tensors["text_encoder.q.lora_A.weight"] = at::ones({1, 1});
  tensors["lora_te1_x.alpha"] = at::ones({});
  write_safetensors(folder / "l", tensors);
  const auto lora = read_lora(folder / "l", lora_model());
  EXPECT_EQ(lora.matched, 1);
  EXPECT_EQ(lora.unmatched, (std::vector<std::string>{"a", "b", "c", "d", "transformer.e.weight"}));
  EXPECT_EQ(lora.note(),
            "5 of 6 modules match no layer of the model and are left out: \"a\", \"b\", \"c\", ...");
  EXPECT_EQ(lora.text_encoder,
            (std::vector<std::string>{"lora_te1_x.alpha", "text_encoder.q.lora_A.weight"}));
}

TEST(LoraFile, RefusesWhatItWouldMisread) {
  const Folder folder;
  const auto said = [&](const TensorMap& extra, const std::string& metadata = "{}") {
    auto tensors = prefixed(adapter());
    for (const auto& [name, tensor] : extra) tensors["transformer." + name] = tensor;
    write_safetensors(folder / "l", tensors, {{"lora_adapter_metadata", metadata}});
    return complaint([&] { read_lora(folder / "l", lora_model()); });
  };
  const auto expect = [&](const std::string& message, const char* text) {
    EXPECT_NE(message.find(text), std::string::npos) << text << "\n" << message;
    EXPECT_TRUE(message.starts_with((folder / "l").string())) << message;
  };
  const auto pair = [](at::Tensor down, at::Tensor up) {
    return TensorMap{{"blocks.0.attn.to_k.lora_A.weight", std::move(down)},
                     {"blocks.0.attn.to_k.lora_B.weight", std::move(up)}};
  };
  EXPECT_EQ(said({}), "");
  EXPECT_EQ(said(pair(at::ones({3, 6}), at::ones({5, 3}))), "");
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  expect(said({{"x.lora_A.weight", at::ones({2, 3})}}), "x.lora_A.weight\" has no partner");
  expect(said({{"x.lora_B.weight", at::ones({2, 3})}}), "x.lora_B.weight\" has no partner");
  expect(said({{"x.alpha", at::ones({})}}), "x.alpha\" has no partner");
  expect(said({{"x.lora_magnitude_vector", at::ones({1})}}), "DoRA");
  expect(said({{"x.dora_scale", at::ones({1})}}), "DoRA");
  expect(said({{"x.hada_w1_a", at::ones({1, 1})}}), "LoHa");
  expect(said({{"x.lokr_w1", at::ones({1, 1})}}), "LoKr");
  expect(said({{"x.lora_mid.weight", at::ones({1, 1, 1, 1})}}), "Tucker");
  expect(said({{"x.lora_B.bias", at::ones({1})}}), "biases");
  expect(said({{"x.diff", at::ones({1})}}), "whole difference");
  expect(said(pair(at::ones({2, 6}), at::ones({5, 3}))), "ranks differ");
  expect(said(pair(at::ones({2}), at::ones({2}))), "not a matrix");
  expect(said(pair(at::ones({2, 6}, at::kInt), at::ones({5, 2}))), "not a matrix of floating-point");
  expect(said(pair(at::ones({0, 6}), at::ones({5, 0}))), "is empty");
  expect(said(pair(at::full({2, 6}, nan), at::ones({5, 2}))), "holds NaN");
  expect(said(pair(at::ones({2, 6}), at::full({5, 2}, inf))), "lora_B.weight\" holds NaN or infinity");
  expect(said(pair(at::ones({65537, 6}), at::ones({5, 65537}))), "has rank 65537");
  expect(said(pair(at::ones({2, 7}), at::ones({5, 2}))),
         "is [2, 7] and [5, 2]; layer blocks.0.attn.to_k of this");
  expect(said(pair(at::ones({2, 6}), at::ones({4, 2}))), "needs [2, 6] and [5, 2]");
  for (const double alpha : {0.0, -1.0, nan, inf, 1e10}) {
    expect(said({{"blocks.0.attn.to_q.alpha", at::full({}, alpha)}}), "alpha must be a positive number");
  }
  expect(said({{"blocks.0.attn.to_q.alpha", at::ones({2})}}), "is not one number");
  expect(said({{"blocks.0.attn.to_q.alpha", at::full({}, 3.0)}},
              R"({"transformer.r":2,"transformer.lora_alpha":4})"),
         "says alpha 4.0 for \"blocks.0.attn.to_q\", its tensor says 3.0");
  expect(said({}, "{\"transformer.r\":3}"), "says rank 3.0 for \"blocks.0.attn.to_q\", its tensors have 2");
  expect(said({}, "{\"transformer.r\":0}"), "number from 1");
  expect(said({}, "{\"transformer.lora_alpha\":\"8\"}"), "must be a number");
  expect(said({}, "{\"transformer.lora_alpha\":0}"), "must be a number from");
  expect(said({}, "{\"transformer.lora_alpha\":-4}"), "must be a number from");
  expect(said({}, "{\"transformer.use_dora\":true}"), "DoRA");
  expect(said({}, "{\"transformer.peft_type\":\"LOHA\"}"), "kind \"LOHA\"");
  expect(said({}, "{\"transformer.init_lora_weights\":\"pissa\"}"), "changes the base model");
  EXPECT_EQ(said({}, R"({"transformer.alpha_pattern":{"(a+)+":1}})"), "");
  expect(said({}, R"({"transformer.alpha_pattern":{"(a+":1}})"), "is no regular expression");
  expect(said({}, R"({"transformer.rank_pattern":{"to_q":0}})"), "must be a number from");
  expect(said({}, R"({"transformer.alpha_pattern":[]})"), "alpha_pattern must be a JSON object");
  expect(said({}, "[]"), "must be a JSON object");
  expect(said({}, "{"), "not valid JSON");
}

TEST(LoraFile, RefusesToWriteWhatNobodyWouldLoad) {
  const Folder folder;
  const auto said = [&](const TensorMap& tensors, int64_t rank, double alpha, const Metadata& metadata = {}) {
    return complaint([&] { write_lora(folder / "l", tensors, {rank, alpha}, {"to_q"}, metadata); });
  };
  EXPECT_NE(said({}, 2, 4.0).find("loaded as nothing"), std::string::npos);
  EXPECT_NE(said(adapter(), 3, 4.0).find("has rank 2, not 3"), std::string::npos);
  EXPECT_NE(said(adapter(), 2, std::numeric_limits<double>::infinity()).find("alpha must be"),
            std::string::npos);
  EXPECT_NE(said(adapter(), 2, 0.0).find("alpha must be"), std::string::npos);
  EXPECT_NE(said({{"x.weight", at::ones({2, 2})}}, 2, 4.0).find("is not named"), std::string::npos);
  EXPECT_NE(said(adapter(), 2, 4.0, {{"format", "tf"}}).find("written by the LoRA writer itself"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "l"));
}

TEST(LoraFile, WritesRanksAndAlphasByLayer) {
  const Folder folder;
  const std::string q = "blocks.0.attn.to_q", k = "blocks.0.attn.to_k", v = "blocks.0.attn.to_v";
  TensorMap tensors;
  for (const auto& [layer, rank] : {std::pair{q, 2}, {k, 3}, {v, 2}}) {
    tensors[layer + ".lora_A.weight"] = testing::numbers({rank, 6});
    tensors[layer + ".lora_B.weight"] = testing::numbers({5, rank}, 1.0);
  }
  const LoraStrength strength{2, 8.0, {{k, 3}}, {{k, 0.5}, {v, 1.0}}};
  write_lora(folder / "l", tensors, strength, {"to_q", "to_k", "to_v"});
  const auto file = read_safetensors(folder / "l");
  EXPECT_EQ(file.metadata.at("lora_adapter_metadata"),
            "{\n  \"transformer.alpha_pattern\": {\n    \"^blocks.0.attn.to_k\": 0.5,\n"
            "    \"^blocks.0.attn.to_v\": 1\n  },\n  \"transformer.lora_alpha\": 8,\n"
            "  \"transformer.r\": 2,\n  \"transformer.rank_pattern\": {\n    \"^blocks.0.attn.to_k\": 3\n"
            "  },\n  \"transformer.target_modules\": [\n    \"to_k\",\n    \"to_q\",\n    \"to_v\"\n  ]\n}");
  const auto lora = read_lora(folder / "l", lora_model());
  EXPECT_EQ(lora.scale_of(q), 4.0);
  EXPECT_EQ(lora.scale_of(k), 0.5 / 3.0);
  EXPECT_EQ(lora.scale_of(v), 0.5);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(at::equal(lora.tensors.at(name), tensor)) << name;
  const auto read = lora.strength();
  for (const auto& layer : {q, k, v}) {
    EXPECT_EQ(read.rank_of(layer), strength.rank_of(layer));
    EXPECT_EQ(read.scale_of(layer), strength.scale_of(layer));
  }
  EXPECT_NE(complaint([&] {
              write_lora(folder / "x", tensors, {2, 8.0}, {"to_q"});
            }).find("has rank 3, not 2"),
            std::string::npos);
  EXPECT_NE(complaint([&] {
              write_lora(folder / "x", tensors, {2, 8.0, {{k, 3}}, {{v, -1.0}}}, {"to_q"});
            }).find("alpha must be"),
            std::string::npos);
}

}  // namespace
}  // namespace thalweg
