// The text encoders' memory: taken when a prompt is encoded, given back when they are released.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>

#include "engine/models/sd3/sd3_model.h"
#include "engine/models/text/t5_encoder.h"
#include "engine/weights/safetensors.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr double kMegabyte = 1 << 20;

/// Memory of this process alone, without pages of files, in MiB.
double resident() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, pages = 0, shared = 0;
  statm >> size >> pages >> shared;
  return static_cast<double>((pages - shared) * ::sysconf(_SC_PAGESIZE)) / kMegabyte;
}

/// The embedded model with a T5 of one wide layer, 154 MB in float32, stored in float16.
class Sd3WithT5 : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::copy(fs::path(THALWEG_SOURCE_DIR) / "assets/models/tiny-sd3", model_, fs::copy_options::recursive);
    auto index = parse_json_file(model_ / "model_index.json");
    index["text_encoder_3"] = {"transformers", "T5EncoderModel"};
    index["tokenizer_3"] = {"transformers", "T5TokenizerFast"};
    write_file(model_ / "model_index.json", index.dump());
    fs::create_directories(model_ / "tokenizer_3");
    write_file(model_ / "tokenizer_3" / "tokenizer.json",
               R"({"model": {"type": "Unigram", "vocab": [["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["▁", -2],
                   ["▁red", -3], ["▁cat", -3], ["s", -4]]}, "added_tokens": []})");
    write_encoder(R"({"vocab_size": 120, "d_model": 128, "d_kv": 8, "num_heads": 2, "num_layers": 1,
                      "d_ff": 150000})");
  }

  void write_encoder(const std::string& config) {
    const auto folder = model_ / "text_encoder_3";
    fs::create_directories(folder);
    write_file(folder / "config.json", config);
    const auto c = T5Encoder::parse(parse_json(config, "t5"), "t5");
    Binder declare;
    T5Encoder::bind(c, declare);
    TensorMap tensors;
    for (const auto& spec : declare.specs()) tensors[spec.name] = at::full(spec.shape, 0.01, at::kHalf);
    tensors.at("shared.weight") = at::linspace(-1, 1, 120 * c.d_model).view({120, c.d_model}).to(at::kHalf);
    write_safetensors(folder / "model.safetensors", tensors);
  }

  std::unique_ptr<FlowModel> load(int64_t tokens = 4) const {
    return load_sd3(model_, {at::kFloat, at::kFloat, tokens});
  }

  Scratch scratch_;
  const fs::path model_ = scratch_ / "model";
};

TEST_F(Sd3WithT5, EncodersAreReadAtTheFirstPromptAndReleased) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer keeps freed memory";
#endif
  const auto model = load();
  ::malloc_trim(0);
  const double before = resident();
  const auto first = model->encode({"red cats"});
  const double loaded = resident();
  EXPECT_GT(loaded - before, 140.0);
  model->release_text_encoders();
  ::malloc_trim(0);
  const double released = resident();
  EXPECT_LT(released - before, 15.0);
  const auto again = model->encode({"red cats"});
  for (const auto& [name, tensor] : first.tensors) EXPECT_TRUE(at::equal(tensor, again.tensors.at(name)));
  std::printf("resident MiB: %.0f before, %.0f with the encoders, %.0f after\n", before, loaded, released);
}

TEST_F(Sd3WithT5, SourceTellsWhatEncodingReadsAndGives) {
  const auto model = load(5);
  const auto source = model->text_source();
  for (const char* name :
       {"text_encoder/model.safetensors", "text_encoder_2/config.json", "text_encoder_3/model.safetensors",
        "text_encoder_3/config.json", "tokenizer_3/tokenizer.json"})
    EXPECT_EQ(source.files.count(name), 1u) << name;
  const auto tensors = model->encode({"red", "cats"}).tensors;
  ASSERT_EQ(tensors.size(), source.shapes.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(tensor.sizes().slice(1), at::IntArrayRef(source.shapes.at(name))) << name;
    EXPECT_EQ(tensor.scalar_type(), source.dtype);
  }
  EXPECT_NE(source.settings, load(4)->text_source().settings);
}

TEST_F(Sd3WithT5, SavesTheTextEncodersAfterTheyAreReleased) {
  const auto model = load();
  model->release_text_encoders();
  model->save(scratch_ / "saved", model->backbone(), at::kFloat);
  for (const char* name : {"text_encoder/model.safetensors", "text_encoder_3/model.safetensors",
                           "text_encoder_3/config.json", "tokenizer_3/tokenizer.json"})
    EXPECT_EQ(read_file(scratch_ / "saved" / name, size_t{1} << 30),
              read_file(model_ / name, size_t{1} << 30))
        << name;
  EXPECT_NO_THROW(load_sd3(scratch_ / "saved", {at::kFloat, at::kFloat, 4})->encode({"red"}));
}

TEST_F(Sd3WithT5, RefusesPartsThatDoNotFit) {
  EXPECT_ERROR(load(0), "at least 1");
  write_encoder(
      R"({"vocab_size": 120, "d_model": 96, "d_kv": 8, "num_heads": 2, "num_layers": 1, "d_ff": 8})");
  EXPECT_ERROR(load(), "d_model must be the transformer's joint_attention_dim, 128");
}

}  // namespace
}  // namespace thalweg
