#include "engine/weights/model_copy.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/weights/safetensors.h"
#include "tests/weights/files.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;
using testing::complaint;
using testing::Folder;

constexpr const char* kIndex =
    R"({"_class_name":"P","_name_or_path":"/home/x","vae":["diffusers","AutoencoderKL"],
  "image_encoder":["transformers","CLIPVisionModel"],"tokenizer":["transformers","CLIPTokenizer"],
  "text_encoder_3":[null,null],"force":true})";

/// Names of the files below a folder, sorted.
std::vector<std::string> names(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory()) found.push_back(fs::relative(entry.path(), folder).string());
  std::sort(found.begin(), found.end());
  return found;
}

class ModelCopy : public ::testing::Test {
 protected:
  ModelCopy() {
    root_.write("model_index.json", kIndex);
    root_.write("vae/config.json",
                R"({"_name_or_path":"/home/x/vae","act":"silu","slash":"/","list":["/a/b"]})");
    write_safetensors(root_ / "vae/diffusion_pytorch_model.safetensors", {{"w", at::ones({2})}});
    root_.write("vae/surplus.txt", "x");
    root_.write("image_encoder/config.json", "{}");
    root_.write("tokenizer/tokenizer_config.json",
                R"({"tokenizer_file":"/root/t.json","name_or_path":"openai/clip"})");
    root_.write("tokenizer/vocab.json", R"({"/home":"/home/x"})");
    root_.write("tokenizer/merges.txt", "a b\n");
    root_.write("tokenizer/README.md", "x");
  }

  ModelFolder model(const std::string& variant = "") const {
    return open_model_folder(root_.path(), variant);
  }
  std::vector<ModelFile> files(const std::string& variant = "") const {
    auto all = component_copy(model(variant), "vae");
    for (auto& file : tokenizer_copy(model(variant), "tokenizer")) all.push_back(std::move(file));
    return all;
  }

  const Folder root_, target_;
};

TEST_F(ModelCopy, HoldsWhatWasReadAndNoPathOfTheMachine) {
  copy_model(model(), files(), target_.path());
  EXPECT_EQ(names(target_.path()),
            (std::vector<std::string>{"model_index.json", "tokenizer/merges.txt",
                                      "tokenizer/tokenizer_config.json", "tokenizer/vocab.json",
                                      "vae/config.json", "vae/diffusion_pytorch_model.safetensors"}));
  EXPECT_EQ(parse_json_file(target_ / "vae/config.json").dump(),
            R"({"act":"silu","slash":"/","list":["/a/b"]})");
  EXPECT_EQ(parse_json_file(target_ / "tokenizer/tokenizer_config.json").dump(),
            R"({"name_or_path":"openai/clip"})");
  EXPECT_EQ(read_file(target_ / "tokenizer/vocab.json"), R"({"/home":"/home/x"})");
  // A component that was not read is not promised.
  EXPECT_EQ(parse_json_file(target_ / "model_index.json").dump(),
            R"({"_class_name":"P","vae":["diffusers","AutoencoderKL"],"image_encoder":[null,null],)"
            R"("tokenizer":["transformers","CLIPTokenizer"],"text_encoder_3":[null,null],"force":true})");
}

TEST_F(ModelCopy, VariantsTakeThePlainNamesAndShardsKeepTheirs) {
  write_safetensors(root_ / "vae/d.fp16-00001-of-00002.safetensors", {{"a", at::ones({1})}});
  write_safetensors(root_ / "vae/d.fp16-00002-of-00002.safetensors", {{"b", at::ones({2})}});
  root_.write(
      "vae/diffusion_pytorch_model.safetensors.index.fp16.json",
      R"({"weight_map":{"a":"d.fp16-00001-of-00002.safetensors","b":"d.fp16-00002-of-00002.safetensors"}})");
  copy_model(model("fp16"), files("fp16"), target_.path());
  const auto copy = component_weights(open_model_folder(target_.path()), "vae");
  EXPECT_EQ(copy.size(), 2u);
  EXPECT_TRUE(fs::exists(target_ / "vae/diffusion_pytorch_model.safetensors.index.json"));
}

TEST_F(ModelCopy, ALinkOutOfTheModelThatNobodyReadsStaysBehind) {
  const Folder elsewhere;
  const auto secret = elsewhere.write("key", "a secret");
  root_.write("tokenizer/tokenizer.json", "{}");
  fs::remove(root_ / "tokenizer/merges.txt");
  fs::create_symlink(secret, root_ / "tokenizer/merges.txt");
  copy_model(model(), files(), target_.path());
  EXPECT_FALSE(fs::exists(target_ / "tokenizer/merges.txt"));
  EXPECT_TRUE(fs::exists(target_ / "tokenizer/vocab.json"));  // of the model's own
  // Without a tokenizer.json it is read, and is what it is said to be.
  fs::remove(root_ / "tokenizer/tokenizer.json");
  EXPECT_EQ(files().size(), 5u);
}

TEST_F(ModelCopy, WhatCannotBeReadIsNamedBeforeAnythingIsWritten) {
  EXPECT_EQ(readable_bytes(files()), fs::file_size(root_ / "vae/diffusion_pytorch_model.safetensors") +
                                         fs::file_size(root_ / "vae/config.json") +
                                         fs::file_size(root_ / "tokenizer/tokenizer_config.json") +
                                         fs::file_size(root_ / "tokenizer/vocab.json") +
                                         fs::file_size(root_ / "tokenizer/merges.txt"));
  const auto listed = files();
  fs::remove(root_ / "tokenizer/merges.txt");
  fs::create_symlink(root_ / "nowhere", root_ / "tokenizer/merges.txt");
  EXPECT_NE(complaint([&] { readable_bytes(listed); }).find("tokenizer/merges.txt: cannot be opened"),
            std::string::npos);
}

TEST_F(ModelCopy, AReadOnlySourceMakesAFileThatItsOwnerMayReplace) {
  fs::permissions(root_ / "vae/diffusion_pytorch_model.safetensors", fs::perms::owner_read);
  copy_model(model(), files(), target_.path());
  const auto mode = fs::status(target_ / "vae/diffusion_pytorch_model.safetensors").permissions();
  EXPECT_NE(mode & fs::perms::owner_write, fs::perms::none);
}

}  // namespace
}  // namespace thalweg
