#include "engine/models/text/clip_tokenizer.h"

#include <future>

#include "engine/models/text/unicode.h"
#include "tests/models/clip_tokenizer_folder.h"

namespace thalweg {
namespace {

using nlohmann::json;
using Ids = std::vector<int64_t>;

// Ids given by transformers 5.23 for these files.
const std::vector<std::pair<std::string, Ids>> kGolden = {
    {"a red cat", {72, 27, 61, 63, 73}},
    {"Red  CAT's", {72, 61, 63, 64, 73}},
    {"caf\u00e9 cafe\u0301 CAFE\u0301", {72, 62, 6, 59, 62, 6, 59, 62, 6, 59, 73}},
    {"12 cats!", {72, 55, 56, 62, 20, 45, 0, 73}},
    {"cat! zeta", {72, 63, 0, 26, 5, 20, 27, 73}},
    {"<|ENDOFTEXT|>", {72, 67, 5, 14, 4, 15, 6, 20, 5, 24, 46, 73}},
    {"a<|endoftext|>b", {72, 27, 73, 28, 73}},
    {"a b c d e f g h i j k l m", {72, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 73}},
    {"", {72, 73}},
    {" \t\n", {72, 73}},
    {"#", {72, 73, 73}},
};

void expect_golden(const ClipTokenizer& tokenizer) {
  for (const auto& [text, ids] : kGolden) {
    EXPECT_EQ(tokenizer.encode_unpadded(text), ids) << text;
    auto padded = ids;
    padded.resize(12, 0);
    EXPECT_EQ(tokenizer.encode(text), padded) << text;
  }
}

TEST_F(ClipTokenizerTest, GoldenIdsFromVocabularyAndMerges) {
  const auto tokenizer = ClipTokenizer::load(folder_);
  expect_golden(tokenizer);
  EXPECT_EQ(tokenizer.max_length(), 12);
  EXPECT_EQ(tokenizer.bos(), 72);
  EXPECT_EQ(tokenizer.eos(), 73);
  EXPECT_EQ(tokenizer.pad(), 0);
  EXPECT_EQ(tokenizer.vocab_size(), 74);
}

TEST_F(ClipTokenizerTest, GoldenIdsFromTokenizerJson) {
  std::filesystem::remove(folder_ / "vocab.json");
  std::filesystem::remove(folder_ / "merges.txt");
  auto tokenizer = unified();
  write("tokenizer.json", tokenizer.dump());
  expect_golden(ClipTokenizer::load(folder_));
  tokenizer["model"]["merges"] = json::array();
  for (const auto& merge : kMerges) {
    const auto blank = merge.find(' ');
    tokenizer["model"]["merges"].push_back({merge.substr(0, blank), merge.substr(blank + 1)});
  }
  write("tokenizer.json", tokenizer.dump());
  expect_golden(ClipTokenizer::load(folder_));
}

TEST_F(ClipTokenizerTest, DefaultsAreThoseOfClip) {
  std::filesystem::remove(folder_ / "tokenizer_config.json");
  const auto tokenizer = ClipTokenizer::load(folder_);
  EXPECT_EQ(tokenizer.max_length(), 77);
  EXPECT_EQ(tokenizer.pad(), 73);
  EXPECT_EQ(tokenizer.encode_unpadded("cat!"), (Ids{72, 63, 54, 73}));  // "!" is then a mark as any other
  write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  EXPECT_EQ(ClipTokenizer::load(folder_).max_length(), 77);
}

TEST_F(ClipTokenizerTest, NormalizedAddedTokensMatchAnyCase) {
  write("tokenizer_config.json", json{{"added_tokens_decoder", {{"73", added(73, kEos, true)}}}}.dump());
  EXPECT_EQ(ClipTokenizer::load(folder_).encode_unpadded("a <|ENDOFTEXT|>"), (Ids{72, 27, 73, 73}));
  write("tokenizer_config.json", "{}");
  write("added_tokens.json", R"({"<Toy>": 74, "<Toys>": 75})");
  const auto tokenizer = ClipTokenizer::load(folder_);
  EXPECT_EQ(tokenizer.encode_unpadded("<toy>a<TOYS>"), (Ids{72, 74, 27, 75, 73}));
  EXPECT_EQ(tokenizer.vocab_size(), 76);
}

TEST_F(ClipTokenizerTest, ThreadsShareOneTokenizer) {
  const auto tokenizer = ClipTokenizer::load(folder_);
  std::vector<std::future<void>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(std::async(std::launch::async, [&] {
      for (int repeat = 0; repeat < 50; ++repeat) expect_golden(tokenizer);
    }));
  }
  for (auto& thread : threads) thread.get();
}

TEST_F(ClipTokenizerTest, RefusesWhatIsNotUtf8) {
  const auto tokenizer = ClipTokenizer::load(folder_);
  for (const char* text : {"a\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "cat \xe2\x82", "\x80"})
    EXPECT_THROW(tokenizer.encode(text), Error) << text;
  EXPECT_THROW(tokenizer.encode(std::string((size_t{16} << 20) + 1, 'a')), Error);
  EXPECT_EQ(tokenizer.encode(std::string("a\0b", 3)), tokenizer.encode("a#b"));
}

TEST_F(ClipTokenizerTest, LongWordsAreCutAtTheEnd) {
  const auto ids = ClipTokenizer::load(folder_).encode(std::string(300'000, 'a'));
  EXPECT_EQ(ids, (Ids{72, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 73}));
}

TEST(ClipNormalize, LowersEachCharacterByItself) {
  EXPECT_EQ(clip_normalize("\u039F\u0394\u039F\u03A3"), "\u03BF\u03B4\u03BF\u03C3");  // no final sigma
  EXPECT_EQ(clip_normalize("\u0130I"), "i\u0307i");
  EXPECT_EQ(clip_normalize("\u01C5\u1E9E"), "\u01C6\u00DF");
}

TEST(ClipNormalize, FoldsEveryRunOfWhiteSpace) {
  EXPECT_EQ(clip_normalize("\u00A0\t a\u2028\u3000\u0085b\u200B\u001Cc "), " a b\u200B\u001Cc ");
}

TEST(ClipNormalize, ComposesWithTheTablesOfUnicode9) {
  EXPECT_EQ(clip_normalize("e\u0301"), "\u00E9");
  EXPECT_EQ(clip_normalize("\u1112\u1161\u11AB"), "\uD55C");
  EXPECT_EQ(clip_normalize("a\u0345\u0323"), "\u1EA1\u0345");
  // A mark of Unicode 14 stays where it is, and keeps what follows it apart.
  EXPECT_EQ(clip_normalize("a\u0345\u0898\u0323"), "a\u0345\u0898\u0323");
}

}  // namespace
}  // namespace thalweg
