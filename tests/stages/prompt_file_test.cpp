// Files of prompts as flow_grpo lays them out in a folder, to the byte.
#include "pipelines/prompt_file.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

class PromptFolder : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    write_synced(scratch_.folder() / name, text);
  }
  PromptFile file(const char* split) const { return file_of_split(scratch_.folder().string(), split, "/p"); }

  const Scratch scratch_;
};

// What Python's [line.strip() for line in open(path).readlines()] gives, without its empty lines.
TEST_F(PromptFolder, TextLinesAreStripped) {
  write("train.txt",
        "a red \"cup\" \n\ta dog\r\n  two  words \xC2\xA0\xE3\x80\x80\n\n \x1C\n\x1C"
        "a sign that says \xC3\xA9t\xC3\xA9\x1F\rafter a lone return\n\xE2\x80\x8Bkept");
  const std::vector<std::string> expected = {
      "a red \"cup\"",       "a dog",           "two  words", "a sign that says \xC3\xA9t\xC3\xA9",
      "after a lone return", "\xE2\x80\x8Bkept"};  // U+200B is no blank
  const auto lines = read_prompt_lines(file("train"));
  ASSERT_EQ(lines.size(), expected.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].prompt, expected[i]);
    EXPECT_EQ(lines[i].metadata_json, "{}");
  }
  EXPECT_EQ(read_prompt_lines(file("train"), 2).size(), 2u);
  // By its own name the same file is read as it is.
  EXPECT_EQ(read_prompt_lines({file("train").path, "/p"}).front().prompt, "a red \"cup\" ");
}

TEST_F(PromptFolder, MetadataAreTheWholeLineAndThePromptIsAsItStands) {
  const std::string line =
      R"({"tag": "position", "include": [{"class": "tie", "count": 1, "position": ["right of", 0]}], "prompt": " a tie "})";
  write("test_metadata.jsonl", line + "\n{\"prompt\": \"b\"}\n");
  const auto lines = read_prompt_lines(file("test"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].prompt, " a tie ");
  EXPECT_EQ(lines[0].metadata_json, line);
  EXPECT_EQ(lines[1].metadata_json, "{\"prompt\": \"b\"}");
}

TEST_F(PromptFolder, OneOfTheTwoKinds) {
  EXPECT_THROW(file("train"), Error);
  write("train.txt", "a\n");
  EXPECT_FALSE(file("train").path.ends_with(".jsonl"));
  EXPECT_THROW(file("test"), Error);
  write("train_metadata.jsonl", "{\"prompt\": \"a\"}\n");
  EXPECT_THROW(file("train"), Error);
  EXPECT_THROW(file_of_split((scratch_.folder() / "train.txt").string(), "train", "/p"), Error);
  EXPECT_THROW(read_prompt_lines({scratch_.folder().string(), "/p"}), Error);
}

}  // namespace
}  // namespace thalweg
