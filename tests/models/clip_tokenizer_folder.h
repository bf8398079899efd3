// A small CLIP tokenizer in a folder of its own, and helpers to spoil it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/models/text/clip_tokenizer.h"

namespace thalweg {

inline const std::string kBos = "<|startoftext|>", kEos = "<|endoftext|>";

inline const std::vector<std::string> kMerges = {"r e",     "re d</w>", "c a",     "ca t</w>",
                                                 "' s</w>", "Ã ©</w>",  "< |</w>", "| ></w>"};

inline nlohmann::json vocabulary() {
  std::vector<std::string> tokens = {"!"};
  for (const char* suffix : {"", "</w>"})
    for (char letter = 'a'; letter <= 'z'; ++letter) tokens.push_back(std::string(1, letter) + suffix);
  for (const char* token : {"'", "!</w>", "1</w>", "2</w>", "Ã", "©</w>", "Ã©</w>", "re", "red</w>", "ca",
                            "cat</w>", "'s</w>", "<", "|", "<|</w>", ">", "|></w>", "></w>", "|</w>"})
    tokens.push_back(token);
  tokens.insert(tokens.end(), {kBos, kEos});
  nlohmann::json ids = nlohmann::json::object();
  for (size_t i = 0; i < tokens.size(); ++i) ids[tokens[i]] = i;
  return ids;
}

inline std::string merges_text() {
  std::string text = "#version: 0.2\n";
  for (const auto& merge : kMerges) text += merge + "\n";
  return text;
}

inline nlohmann::json added(int64_t id, const std::string& content, bool normalized) {
  return {{"id", id},        {"content", content}, {"single_word", false},    {"lstrip", false},
          {"rstrip", false}, {"special", true},    {"normalized", normalized}};
}

class ClipTokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("thalweg_clip_") + test->name() + "_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    write("vocab.json", vocabulary().dump());
    write("merges.txt", merges_text());
    write("tokenizer_config.json", R"({"model_max_length": 12, "pad_token": "!"})");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) { write_file(folder_ / name, text); }

  // The same tokenizer in the other layout.
  nlohmann::json unified() {
    return {{"model",
             {{"type", "BPE"}, {"end_of_word_suffix", "</w>"}, {"vocab", vocabulary()}, {"merges", kMerges}}},
            {"added_tokens", {added(0, "!", false), added(72, kBos, false), added(73, kEos, false)}},
            {"post_processor", {{"type", "RobertaProcessing"}, {"cls", {kBos, 72}}, {"sep", {kEos, 73}}}}};
  }

  void expect_refused(const std::string& file, const std::string& words) {
    try {
      ClipTokenizer::load(folder_);
      ADD_FAILURE() << file << " was accepted; expected: " << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.place(), (folder_ / file).string());
      EXPECT_NE(error.message().find(words), std::string::npos) << error.message();
    }
  }

  std::filesystem::path folder_;
};

}  // namespace thalweg
