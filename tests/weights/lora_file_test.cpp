#include "engine/weights/lora_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/weights/files.h"

namespace thalweg {
namespace {

using testing::complaint;
using testing::Folder;

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
  write_lora(folder / "l.safetensors", adapter(), 2, 8.0, {"attn.to_v", "attn.to_q"},
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
    write_lora(folder / "l", adapter(), 2, alpha, {"to_q"});
    const auto lora = read_lora(folder / "l");
    EXPECT_EQ(lora.scale, scale);
    EXPECT_TRUE(lora.unused.empty());
    ASSERT_EQ(lora.tensors.size(), 2u);
    EXPECT_TRUE(at::equal(lora.tensors.at("blocks.0.attn.to_q.lora_A.weight"), at::ones({2, 6})));
  }
}

TEST(LoraFile, ReadsFilesOfOthers) {
  const Folder folder;
  const auto path = folder / "l";
  auto tensors = prefixed(adapter(4));
  write_safetensors(path, tensors);
  EXPECT_EQ(read_lora(path).scale, 1.0);
  write_safetensors(path, tensors, {{"lora_adapter_metadata", R"({"transformer.r":4})"}});
  EXPECT_EQ(read_lora(path).scale, 1.0);
  write_safetensors(path, tensors,
                    {{"lora_adapter_metadata",
                      R"({"transformer.r":4,"transformer.lora_alpha":6,"transformer.use_rslora":true,
                                         "transformer.rank_pattern":{},"text_encoder.r":8})"}});
  EXPECT_EQ(read_lora(path).scale, 3.0);
  tensors["text_encoder.q.lora_A.weight"] = at::ones({1, 1});
  write_safetensors(path, tensors);
  EXPECT_EQ(read_lora(path).unused, std::vector<std::string>{"text_encoder.q.lora_A.weight"});
}

TEST(LoraFile, NothingApplicableIsAnError) {
  const Folder folder;
  const auto said = [&](const TensorMap& tensors) {
    write_safetensors(folder / "l", tensors);
    return complaint([&] { read_lora(folder / "l"); });
  };
  EXPECT_NE(said({}).find("no tensor is named transformer.<module>.lora_A.weight"), std::string::npos);
  EXPECT_NE(said(adapter()).find("it holds \"blocks.0.attn.to_q.lora_A.weight\" for example"),
            std::string::npos);
  EXPECT_NE(said({{"lora_unet_x.lora_down.weight", at::ones({1, 1})}}).find("no tensor is named"),
            std::string::npos);
  EXPECT_NE(said({{"transformer.x.lora_A.default.weight", at::ones({1, 1})}}).find("no tensor is named"),
            std::string::npos);
}

TEST(LoraFile, RefusesWhatItWouldMisread) {
  const Folder folder;
  const auto said = [&](const TensorMap& extra, const std::string& metadata = "{}") {
    auto tensors = prefixed(adapter());
    for (const auto& [name, tensor] : extra) tensors["transformer." + name] = tensor;
    write_safetensors(folder / "l", tensors, {{"lora_adapter_metadata", metadata}});
    return complaint([&] { read_lora(folder / "l"); });
  };
  EXPECT_EQ(said({}), "");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(said({{"x.alpha", at::ones({})}}).find("alpha belongs into the metadata"), std::string::npos);
  EXPECT_NE(said({{"x.lora_magnitude_vector", at::ones({1})}}).find("DoRA"), std::string::npos);
  EXPECT_NE(said({{"x.lora_A.weight", at::ones({2, 3})}}).find("has no partner"), std::string::npos);
  EXPECT_NE(
      said({{"x.lora_A.weight", at::ones({3, 3})}, {"x.lora_B.weight", at::ones({3, 3})}}).find("has rank 3"),
      std::string::npos);
  EXPECT_NE(
      said({{"x.lora_A.weight", at::ones({2})}, {"x.lora_B.weight", at::ones({2})}}).find("not a matrix"),
      std::string::npos);
  EXPECT_NE(
      said({{"x.lora_A.weight", at::full({2, 3}, nan)}, {"x.lora_B.weight", at::ones({3, 2})}}).find("NaN"),
      std::string::npos);
  EXPECT_NE(said({}, "{\"transformer.r\":3}").find("says rank 3, its tensors have 2"), std::string::npos);
  EXPECT_NE(said({}, "{\"transformer.r\":0}").find("whole number from 1"), std::string::npos);
  EXPECT_NE(said({}, "{\"transformer.lora_alpha\":\"8\"}").find("must be a number"), std::string::npos);
  EXPECT_NE(said({}, "{\"transformer.use_dora\":true}").find("DoRA"), std::string::npos);
  EXPECT_NE(said({}, R"({"transformer.alpha_pattern":{"x":1}})").find("alpha_pattern"), std::string::npos);
  EXPECT_NE(said({}, "[]").find("must be a JSON object"), std::string::npos);
  EXPECT_NE(said({}, "{").find("not valid JSON"), std::string::npos);
}

TEST(LoraFile, RefusesToWriteWhatNobodyWouldLoad) {
  const Folder folder;
  const auto said = [&](const TensorMap& tensors, int64_t rank, double alpha, const Metadata& metadata = {}) {
    return complaint([&] { write_lora(folder / "l", tensors, rank, alpha, {"to_q"}, metadata); });
  };
  EXPECT_NE(said({}, 2, 4.0).find("loaded as nothing"), std::string::npos);
  EXPECT_NE(said(adapter(), 3, 4.0).find("rank is 2, not 3"), std::string::npos);
  EXPECT_NE(said(adapter(), 2, std::numeric_limits<double>::infinity()).find("alpha must be"),
            std::string::npos);
  EXPECT_NE(said({{"x.weight", at::ones({2, 2})}}, 2, 4.0).find("is not named"), std::string::npos);
  EXPECT_NE(said(adapter(), 2, 4.0, {{"format", "tf"}}).find("written by the LoRA writer itself"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "l"));
}

}  // namespace
}  // namespace thalweg
