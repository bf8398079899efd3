// Kept prompts that are damaged, or another's, are seen and encoded again.
#include <ATen/ATen.h>

#include <cmath>

#include "engine/weights/safetensors.h"
#include "tests/stages/encoded_prompts.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

class PromptCacheDamage : public EncodedPrompts {
 protected:
  /// The entry is spoilt: what comes is encoded anew, said so once, and then kept again.
  void expect_encoded_again(const std::string& words) {
    messages_.clear();
    const auto expected = model_.encode(prompts_);
    const auto before = model_.encoded;
    EXPECT_TRUE(same(encode(prompts_), expected));
    EXPECT_EQ(model_.encoded - before, 2) << words;
    ASSERT_EQ(messages_.size(), 1u) << words;
    EXPECT_NE(messages_[0].find("damaged"), std::string::npos) << messages_[0];
    EXPECT_NE(messages_[0].find(words), std::string::npos) << messages_[0];
    EXPECT_EQ(cost(prompts_), 0);
  }
};

TEST_F(PromptCacheDamage, EveryChangedByteIsSeen) {
  encode(prompts_);
  const auto path = only_entry();
  const auto bytes = read_file(path);
  // Far steps in the header, whose bytes say less each, and every byte of the data.
  std::vector<size_t> positions;
  for (size_t i = 0; i < bytes.size(); i += i + 150 < bytes.size() ? 37 : 1) positions.push_back(i);
  for (const auto position : positions) {
    auto changed = bytes;
    changed[position] ^= 0x41;
    write_file(path, changed);
    const auto expected = model_.encode(prompts_);
    EXPECT_TRUE(same(encode(prompts_), expected)) << position;
  }
  auto changed = bytes;
  changed.back() ^= 1;
  write_file(path, changed);
  expect_encoded_again("not those that were written");
}

TEST_F(PromptCacheDamage, TruncatedAndEmptyFilesAreSeen) {
  encode(prompts_);
  const auto path = only_entry();
  const auto size = fs::file_size(path);
  for (const auto kept : {uintmax_t{0}, uintmax_t{7}, uintmax_t{60}, size / 2, size - 1}) {
    fs::resize_file(path, kept);
    expect_encoded_again("");
  }
}

TEST_F(PromptCacheDamage, OtherShapesDtypesAndNamesAreSeen) {
  encode(prompts_);
  const auto path = only_entry();
  const auto file = read_safetensors(path);
  const auto with = [&](const std::string& name, const at::Tensor& value, const std::string& words) {
    auto tensors = file.tensors;
    for (auto& [key, tensor] : tensors) tensor = tensor.clone();
    tensors[name] = value;
    write_safetensors(path, tensors, file.metadata);
    expect_encoded_again(words);
  };
  with("embeds", at::zeros({2, 4, 3}), "another shape");
  with("embeds", at::zeros({3, 3, 4}), "another shape");
  with("embeds", at::zeros({2, 3, 4}, at::kDouble), "another shape");
  with("embeds", at::full({2, 3, 4}, std::nan("")), "not finite");
  with("extra", at::zeros({2}), "other tensors");
  with("embeds", at::zeros({2, 3, 4}), "not those that were written");
}

TEST_F(PromptCacheDamage, AnEntryUnderAnotherNameIsSeen) {
  encode({"q", "rst"});
  const auto other = only_entry();
  encode(prompts_);
  for (const auto& path : entries())
    if (path != other) fs::copy_file(other, path, fs::copy_options::overwrite_existing);
  expect_encoded_again("of other prompts");
}

}  // namespace
}  // namespace thalweg
