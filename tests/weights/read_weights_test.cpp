#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/weights/safetensors.h"
#include "tests/weights/files.h"

namespace thalweg {
namespace {

using testing::complaint;
using testing::Folder;

std::string index_of(const std::string& map) {
  return "{\"metadata\":{\"total_size\":1},\"weight_map\":" + map + "}";
}

/// Two shards and their index, as transformers writes them.
void write_shards(const Folder& folder) {
  write_safetensors(folder / "m-00001-of-00002.safetensors", {{"a", at::ones({1})}, {"b", at::zeros({2})}});
  write_safetensors(folder / "m-00002-of-00002.safetensors", {{"c", at::ones({3})}});
  folder.write("m.safetensors.index.json", index_of(R"({"a":"m-00001-of-00002.safetensors",
      "b":"m-00001-of-00002.safetensors","c":"m-00002-of-00002.safetensors"})"));
}

void expect_refusal(const Folder& folder, const std::string& message) {
  const auto said = complaint([&] { read_weights(folder.path(), "m"); });
  EXPECT_NE(said.find(message), std::string::npos) << said;
}

TEST(ReadWeights, SingleFile) {
  const Folder folder;
  write_safetensors(folder / "m.safetensors", {{"a", at::ones({2})}});
  EXPECT_EQ(read_weights(folder.path(), "m").at("a").numel(), 2);
}

TEST(ReadWeights, Shards) {
  const Folder folder;
  write_shards(folder);
  const auto tensors = read_weights(folder.path(), "m");
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("c").numel(), 3);
}

TEST(ReadWeights, Variants) {
  const Folder folder;
  write_safetensors(folder / "m.safetensors", {{"a", at::ones({2})}});
  write_safetensors(folder / "m.bf16.safetensors", {{"a", at::ones({3})}});
  write_safetensors(folder / "m.fp16-00001-of-00001.safetensors", {{"a", at::ones({4})}});
  folder.write("m.safetensors.index.fp16.json", index_of(R"({"a":"m.fp16-00001-of-00001.safetensors"})"));
  EXPECT_EQ(read_weights(folder.path(), "m").at("a").numel(), 2);
  EXPECT_EQ(read_weights(folder.path(), "m", "bf16").at("a").numel(), 3);
  EXPECT_EQ(read_weights(folder.path(), "m", "fp16").at("a").numel(), 4);
  EXPECT_TRUE(has_variant(folder.path(), "m", "fp16"));
  EXPECT_FALSE(has_variant(folder.path(), "m", "fp8"));
}

TEST(ReadWeights, PointersOfGitLfsAreRecognised) {
  const Folder folder;
  folder.write("m.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n");
  expect_refusal(folder, "m.safetensors: is a git-lfs pointer");
  expect_refusal(folder, "git lfs pull");
}

TEST(ReadWeights, ShardsStayInTheFolder) {
  const Folder folder;
  write_safetensors(folder / "outside.safetensors", {{"a", at::ones({1})}});
  for (const char* name :
       {"../outside.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..\\\\x.safetensors",
        ".safetensors", "weights.bin", "", "..", "a\\u0000.safetensors"}) {
    folder.write("m.safetensors.index.json", index_of("{\"a\":\"" + std::string(name) + "\"}"));
    expect_refusal(folder, "shards may not lie elsewhere");
  }
}

TEST(ReadWeights, IndexAndShardsMustAgree) {
  const Folder folder;
  write_shards(folder);
  const std::string one = "\"m-00001-of-00002.safetensors\"";
  const std::string two = "\"m-00002-of-00002.safetensors\"";
  const auto index = [&](const std::string& map) { folder.write("m.safetensors.index.json", index_of(map)); };
  index("{\"a\":" + one + ",\"b\":" + one + ",\"c\":" + two + ",\"d\":" + two + "}");
  expect_refusal(folder, "lacks tensor \"d\"");
  index("{\"a\":" + one + ",\"c\":" + two + "}");
  expect_refusal(folder, "holds tensor \"b\", which the index does not place there");
  index("{\"a\":\"m-3.safetensors\"}");
  expect_refusal(folder, "no such file, though m.safetensors.index.json names it");
  index("{\"a\":1}");
  expect_refusal(folder, "the file of tensor \"a\" is not a text");
  for (const char* text : {"[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{}}"}) {
    folder.write("m.safetensors.index.json", text);
    expect_refusal(folder, "has no \"weight_map\"");
  }
  folder.write("m.safetensors.index.json", "{");
  expect_refusal(folder, "not valid JSON");
}

TEST(ReadWeights, SaysWhatIsThereInstead) {
  const Folder folder;
  expect_refusal(folder, "has no m.safetensors and no m.safetensors.index.json");
  folder.write("pytorch_model.bin", "x");
  expect_refusal(folder, "has only pytorch_model.bin: pickled weights are never opened");
  expect_refusal(folder, "transformers.AutoModel.from_pretrained('" + folder.path().string() + "')");
  folder.write("sub/diffusion_pytorch_model.fp16.bin", "x");
  folder.write("model_index.json", "{}");
  auto said = complaint([&] { read_weights(folder / "sub", "m"); });
  EXPECT_NE(said.find("DiffusionPipeline.from_pretrained('" + folder.path().string() + "', variant='fp16')"),
            std::string::npos)
      << said;
  folder.write("whole/a.ckpt", "x");
  said = complaint([&] { read_weights(folder / "whole", "m"); });
  EXPECT_NE(said.find("from_single_file('a.ckpt')"), std::string::npos) << said;
  write_safetensors(folder / "other.safetensors", {});
  expect_refusal(folder, "has other.safetensors but not m.safetensors");
  write_safetensors(folder / "m.fp16.safetensors", {});
  expect_refusal(folder, "as the variant fp16 alone");
  expect_refusal(folder, "\"variant\": \"fp16\" in the job's \"model\"");
  EXPECT_NE(complaint([&] { read_weights(folder / "none", "m"); }).find("no such folder"), std::string::npos);
}

TEST(ReadWeights, WeightsAreFinite) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto dtype : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble, at::kFloat8_e5m2})
    for (const double value : {infinity, -infinity, infinity - infinity}) {
      const Folder folder;
      auto x = at::ones({5, 7}, at::kDouble);
      x.select(0, 3).select(0, 2).fill_(value);
      write_safetensors(folder / "m.safetensors", {{"a", at::ones({1})}, {"b", x.to(dtype)}});
      expect_refusal(folder, "tensor \"b\" holds NaN or infinity");
    }
  const Folder folder;
  write_safetensors(folder / "m.safetensors",
                    {{"a", at::full({4}, 3.0e38)}, {"e", at::empty({0})}, {"i", at::ones({2}, at::kLong)}});
  EXPECT_EQ(read_weights(folder.path(), "m").size(), 3u);
}

}  // namespace
}  // namespace thalweg
