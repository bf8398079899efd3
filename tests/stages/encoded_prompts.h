// Prompts that a small model encodes, and the folder in which they are kept.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "pipelines/stages/prompt_set.h"
#include "tests/io/scratch.h"
#include "tests/stages/text_model.h"

namespace thalweg {

class EncodedPrompts : public ::testing::Test {
 protected:
  EncodedPrompts() {
    write_weights("first");
    observer_.message = [this](const std::string& line) { messages_.push_back(line); };
  }

  void write_weights(const std::string& text) {
    std::ofstream(scratch_ / "weights", std::ios::binary) << text;
  }

  Conditioning encode(const std::vector<std::string>& prompts) {
    Workers workers(1);  // here: some tests fork
    return PromptEncoder(model_, section_, workers, observer_).conditioning(prompts);
  }
  /// How many prompts are encoded for it.
  int64_t cost(const std::vector<std::string>& prompts) {
    const auto before = model_.encoded;
    encode(prompts);
    return model_.encoded - before;
  }
  static bool same(const Conditioning& a, const Conditioning& b) {
    if (a.prompts != b.prompts || a.tensors.size() != b.tensors.size()) return false;
    for (const auto& [name, tensor] : a.tensors)
      if (tensor.scalar_type() != b.tensors.at(name).scalar_type() || !at::equal(tensor, b.tensors.at(name)))
        return false;
    return true;
  }
  std::vector<std::filesystem::path> entries() const {
    std::vector<std::filesystem::path> found;
    for (const auto& file : std::filesystem::directory_iterator(scratch_ / "cache"))
      if (file.is_regular_file()) found.push_back(file.path());
    return found;
  }
  std::filesystem::path only_entry() const {
    EXPECT_EQ(entries().size(), 1u);
    return entries().at(0);
  }

  Scratch scratch_;
  TextModel model_{scratch_ / "weights"};
  PromptCacheSection section_{(scratch_ / "cache").string(), 1.0};
  Workers workers_{1};
  Observer observer_;
  std::vector<std::string> messages_;
  const std::vector<std::string> prompts_ = {"a", "bcd"};
};

}  // namespace thalweg
