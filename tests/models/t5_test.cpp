#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/models/text/precompiled_charsmap.h"
#include "engine/models/text/t5_encoder.h"
#include "engine/models/text/t5_tokenizer.h"
#include "engine/models/text/unigram.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

T5EncoderConfig config_of(const char* text) {
  return T5Encoder::parse(parse_json(text, "t5"), "t5");
}

// Worked out from the published config: 32128 x 4096 embeddings, 24 layers of 4 d^2 + 3 d d_ff + 2 d, one
// table of biases.
TEST(T5Encoder, DeclaresTheParametersOfStableDiffusion3) {
  Binder declare;
  T5Encoder::bind(config_of(R"({"d_model":4096,"d_ff":10240,"num_layers":24,"num_heads":64,
                                "feed_forward_proj":"gated-gelu"})"),
                  declare);
  int64_t parameters = 0;
  for (const auto& spec : declare.specs()) parameters += c10::multiply_integers(spec.shape);
  EXPECT_EQ(parameters, 4762310656);
}

TEST(T5Encoder, BucketsAreExactNearbyAndLogarithmicBeyond) {
  const auto bucket_LL = t5_position_buckets(300, 32, 128);
  const auto of = [&](int64_t query, int64_t key) { return bucket_LL[query][key].item<int64_t>(); };
  for (int64_t d = 0; d < 8; ++d) {
    EXPECT_EQ(of(20, 20 - d), d);
    EXPECT_EQ(of(20, 20 + d), d == 0 ? 0 : 16 + d);
  }
  // Edges are 8 * 16^(i/8): 8, 11.3, 16, 22.6, 32, 45.3, 64, 90.5.
  const std::vector<std::pair<int64_t, int64_t>> edges = {{11, 8},  {12, 9},  {15, 9},  {23, 11}, {46, 13},
                                                          {63, 13}, {90, 14}, {91, 15}, {299, 15}};
  for (const auto& [distance, bucket] : edges) {
    EXPECT_EQ(of(299, 299 - distance), bucket) << distance;
    EXPECT_EQ(of(0, distance), 16 + bucket) << distance;
  }
}

TEST(T5Encoder, EveryTokenIsSeenAndOrderCounts) {
  const auto config =
      config_of(R"({"vocab_size":20,"d_model":8,"d_kv":3,"d_ff":16,"num_layers":2,"num_heads":2})");
  Binder declare;
  T5Encoder::bind(config, declare);
  auto weights = initial_parameters(declare.specs(), 3);
  weights.at("shared.weight") = weights.at("shared.weight") * 50.0;
  weights.at("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight") *= 50.0;
  const auto encoder = T5Encoder::bind(config, Binder(weights, "t5"));
  const auto first = [&](const std::vector<int64_t>& row) {
    return encoder(at::tensor(row, at::kLong).unsqueeze(0))[0][0];
  };
  const auto differ = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item<double>() > 1e-4;
  };
  const auto base = first({4, 5, 6, 1, 0, 0});
  EXPECT_TRUE(differ(base, first({4, 5, 6, 1, 0, 7})));
  EXPECT_TRUE(differ(base, first({4, 6, 5, 1, 0, 0})));
}

// Probabilities by hand: the best cut of "abcab" is the one with the highest sum.
TEST(Unigram, TakesTheCutWithTheHighestSum) {
  const Unigram unigram(
      {{"<unk>", 0.0}, {"a", -1.0}, {"b", -2.0}, {"c", -3.0}, {"ab", -2.5}, {"abc", -6.5}, {"bca", -4.0}}, 0,
      "test");
  const auto ids = [&](const char* text) {
    std::vector<int64_t> result;
    unigram.encode(text, result);
    return result;
  };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(ids(""), Ids());
  EXPECT_EQ(ids("abc"), (Ids{4, 3}));       // -5.5 against -6 and -6.5
  EXPECT_EQ(ids("abcab"), (Ids{1, 6, 2}));  // -7 against -8 for ab c ab
  EXPECT_EQ(ids("axyb"), (Ids{1, 0, 2}));   // what is unknown becomes one id
  EXPECT_EQ(ids("x<unk>y"), (Ids{0}));
  EXPECT_EQ(ids("\xc3\xa9"), (Ids{0}));
}

TEST(Unigram, RefusesWhatHasNoUnknownPiece) {
  EXPECT_THROW(Unigram({{"a", 0.0}}, 2, "test"), Error);
  EXPECT_THROW(Unigram({}, 0, "test"), Error);
  EXPECT_THROW(Unigram({{"a", 0.0}, {"", 0.0}}, 0, "test"), Error);
  EXPECT_THROW(Unigram({{"a", std::nan("")}}, 0, "test"), Error);
}

TEST(PrecompiledCharsmap, RefusesOtherBytes) {
  EXPECT_EQ(PrecompiledCharsmap().normalize("\xef\xbd\x81"), "\xef\xbd\x81");
  using namespace std::string_view_literals;
  for (const auto bytes : {"abc"sv, "\1\0\0\0abcd"sv, "\4\0\0\0ab"sv, "\0\0\0\0"sv, "\4\0\0\0abcd\xff"sv})
    EXPECT_THROW(PrecompiledCharsmap(bytes, "test"), Error) << bytes.size();
}

class T5TokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(scratch_ / "tokenizer.json",
               R"({"model": {"type": "Unigram", "vocab": [["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["▁", -2],
                   ["▁red", -3], ["▁cat", -3], ["s", -4]]}, "added_tokens": []})");
    write_file(scratch_ / "tokenizer_config.json", R"({"extra_ids": 2})");
  }
  Scratch scratch_;
};

TEST_F(T5TokenizerTest, EncodesPadsAndCuts) {
  const auto tokenizer = T5Tokenizer::load(scratch_.folder());
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(tokenizer.vocab_size(), 9);  // two sentinels behind the pieces
  EXPECT_EQ(tokenizer.encode_whole("red  cats"), (Ids{4, 5, 6, 1}));
  EXPECT_EQ(tokenizer.encode_whole(" \t\n"), (Ids{1}));
  EXPECT_EQ(tokenizer.encode_whole("red<extra_id_0>red </s>dog"), (Ids{4, 7, 4, 1, 3, 2, 1}));
  EXPECT_EQ(tokenizer.encode("red cats", 6), (Ids{4, 5, 6, 1, 0, 0}));
  EXPECT_EQ(tokenizer.encode("red cats", 4), (Ids{4, 5, 6, 1}));
  EXPECT_EQ(tokenizer.encode("red cats", 3), (Ids{4, 5, 1}));
  EXPECT_EQ(tokenizer.encode("red cats", 1), (Ids{1}));
}

TEST_F(T5TokenizerTest, RefusesWhatIsNotText) {
  const auto tokenizer = T5Tokenizer::load(scratch_.folder());
  for (const char* text : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"})
    EXPECT_THROW(tokenizer.encode_whole(text), Error) << text;
  EXPECT_THROW(tokenizer.encode_whole(std::string((size_t{16} << 20) + 1, 'a')), Error);
  EXPECT_EQ(tokenizer.encode_whole(std::string("red\0cat", 7)).back(), 1);
  EXPECT_EQ(tokenizer.encode_whole(std::string(300'000, 's')).size(), 300'002u);  // the marker and the end
}

}  // namespace
}  // namespace thalweg
