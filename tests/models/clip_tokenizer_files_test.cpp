// What a tokenizer folder may not hold: each refusal names the file.
#include "tests/models/clip_tokenizer_folder.h"

namespace thalweg {
namespace {

using nlohmann::json;

using ClipTokenizerFilesTest = ClipTokenizerTest;

TEST_F(ClipTokenizerFilesTest, RefusesMalformedVocabularies) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not valid JSON"},
      {"[1]", "JSON object"},
      {"{}", "not empty"},
      {R"({"a": 0, "a": 1})", "given twice"},
      {R"({"a": "0"})", "not an integer"},
      {R"({"a": 0.5})", "not an integer"},
      {R"({"a": -1})", "has the id -1"},
      {R"({"a": 18446744073709551615})", "has the id"},
      {R"({"a": 2147483648})", "has the id 2147483648"},
      {R"({"a": 0, "b": 0})", "given to two tokens"},
      {R"({"a": 0, "b": 1})", "unknown token"},
      {"{\"a\xff\": 0}", "not valid JSON"},
  };
  for (const auto& [text, words] : cases) {
    write("vocab.json", text);
    expect_refused("vocab.json", words);
  }
  std::filesystem::remove(folder_ / "vocab.json");
  expect_refused("vocab.json", "no such file");
}

TEST_F(ClipTokenizerFilesTest, RefusesMalformedMerges) {
  for (const char* line : {"r", "r e d</w>", " re", "re ", "r  e"}) {
    write("merges.txt", "#version: 0.2\nr e\n" + std::string(line) + "\n");
    expect_refused("merges.txt", "merge 2 is not two tokens");
  }
  write("merges.txt", "r \xc3\x96\n");
  expect_refused("merges.txt", "merge 1 needs the token \"\xc3\x96\"");
  write("merges.txt", "r e\nx y\n");
  expect_refused("merges.txt", "merge 2 needs the token \"xy\"");
  std::filesystem::resize_file(folder_ / "merges.txt", (size_t{16} << 20) + 1);
  expect_refused("merges.txt", "larger than");
  std::filesystem::remove(folder_ / "merges.txt");
  expect_refused("merges.txt", "no such file");
  std::filesystem::create_symlink("nowhere", folder_ / "added_tokens.json");
  write("merges.txt", merges_text());
  expect_refused("added_tokens.json", "no such file");
}

TEST_F(ClipTokenizerFilesTest, RefusesMalformedTokenizerJson) {
  const auto refuse = [&](const char* pointer, const json& value, const std::string& words) {
    auto tokenizer = unified();
    tokenizer[json::json_pointer(pointer)] = value;
    write("tokenizer.json", tokenizer.dump());
    expect_refused("tokenizer.json", words);
  };
  refuse("/model", 3, "no object \"model\"");
  refuse("/model/type", "Unigram", "not BPE");
  refuse("/model/end_of_word_suffix", "@@", "end_of_word_suffix");
  refuse("/model/vocab", json::array({"a"}), "must be an object");
  refuse("/model/vocab/cat<~1w>", -5, "has the id -5");
  refuse("/model/merges", "r e", "must be a list");
  refuse("/model/merges/0", {"r", "e", "d</w>"}, "merge 1 is not a pair");
  refuse("/model/merges/1", "q q", "merge 2 needs the token \"qq\"");
  refuse("/added_tokens", 1, "added_tokens must be a list");
  refuse("/added_tokens/0", "a", "list of objects");
  refuse("/added_tokens/0/content", 5, "must be a token");
  refuse("/added_tokens/0/content", "", "must not be empty");
  refuse("/added_tokens/0/id", -1, "must be an integer");
  refuse("/added_tokens/2/id", 9, "declared as id 9");
  refuse("/added_tokens/0/lstrip", true, "lstrip");
  refuse("/added_tokens/0/normalized", "no", "must be true or false");
  refuse("/post_processor", {{"type", "ByteLevel"}}, "post_processor");
  refuse("/post_processor/sep", {kEos, "x"}, "post_processor");
}

TEST_F(ClipTokenizerFilesTest, RefusesMalformedConfiguration) {
  const std::vector<std::pair<json, std::string>> cases = {
      {json::array(), "JSON object"},
      {{{"model_max_length", "77"}}, "model_max_length"},
      {{{"model_max_length", 1}}, "model_max_length"},
      {{{"model_max_length", -77}}, "model_max_length"},
      {{{"model_max_length", 2'000'000}}, "model_max_length"},
      {{{"eos_token", 5}}, "eos_token"},
      {{{"pad_token", nullptr}}, "pad_token"},
      {{{"padding_side", "left"}}, "padding_side"},
      {{{"truncation_side", "left"}}, "truncation_side"},
      {{{"split_special_tokens", true}}, "split_special_tokens"},
      {{{"add_bos_token", true}}, "add_eos_token"},
      {{{"extra_special_tokens", {{"image", "<i>"}}}}, "must be a list"},
      {{{"added_tokens_decoder", {{"-1", added(1, "x", true)}}}}, "not an id"},
      {{{"added_tokens_decoder", {{"5", "x"}}}}, "must be an object"},
      {{{"added_tokens_decoder", {{"5", added(5, kEos, true)}}}}, "declared as id 5"},
      {{{"added_tokens_decoder", {{"74", added(74, "<a>", true)}, {"75", added(75, "<A>", true)}}}},
       "once normalized"},
  };
  for (const auto& [config, words] : cases) {
    write("tokenizer_config.json", config.dump());
    expect_refused("tokenizer_config.json", words);
  }
}

TEST_F(ClipTokenizerFilesTest, RefusesMalformedLesserFiles) {
  write("special_tokens_map.json", R"({"bos_token": ["x"]})");
  expect_refused("special_tokens_map.json", "bos_token");
  write("special_tokens_map.json", "{}");
  write("added_tokens.json", R"({"<toy>": "74"})");
  expect_refused("added_tokens.json", "must be an integer");
  EXPECT_THROW(ClipTokenizer::load(folder_ / "absent"), Error);
}

TEST_F(ClipTokenizerFilesTest, RefusesFramesThatDisagree) {
  auto tokenizer = unified();
  tokenizer["post_processor"]["sep"] = {kEos, 0};
  write("tokenizer.json", tokenizer.dump());
  expect_refused("tokenizer.json", "bos_token and eos_token");
}

}  // namespace
}  // namespace thalweg
