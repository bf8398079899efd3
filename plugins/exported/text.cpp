#include "text.h"

#include "engine/core/error.h"
#include "engine/models/text/clip_tokenizer.h"
#include "engine/models/text/t5_tokenizer.h"

namespace exported {
namespace {

using thalweg::Error;

Tokens padded(std::vector<int64_t> ids, const TokenizerSpec& spec) {
  Tokens tokens;
  tokens.mask.assign(ids.size(), 1);
  tokens.ids = std::move(ids);
  tokens.ids.resize(static_cast<size_t>(spec.length), spec.pad);
  tokens.mask.resize(static_cast<size_t>(spec.length), 0);
  return tokens;
}

void require_equal(int64_t theirs, int64_t said, const std::string& what, const std::string& place) {
  if (theirs != said)
    throw Error(place, "its " + what + " is " + std::to_string(theirs) + ", and reward.json says " +
                           std::to_string(said));
}

template <class T>
void require_fits(const T& tokenizer, const TokenizerSpec& spec, const std::string& place) {
  require_equal(tokenizer.eos(), spec.eos, "end", place);
  require_equal(tokenizer.pad(), spec.pad, "padding", place);
  if (tokenizer.vocab_size() > spec.vocabulary)
    throw Error(place, "has " + std::to_string(tokenizer.vocab_size()) + " tokens, and the network takes " +
                           std::to_string(spec.vocabulary));
}

}  // namespace

Tokenizer load_tokenizer(const std::filesystem::path& folder, const TokenizerSpec& spec) {
  const auto place = (folder / "tokenizer").string();
  if (spec.kind == "clip") {
    const auto tokenizer = thalweg::ClipTokenizer::load(folder / "tokenizer");
    require_fits(tokenizer, spec, place);
    require_equal(tokenizer.max_length(), spec.length, "length", place);
    return [=](const std::string& prompt) { return padded(tokenizer.encode_unpadded(prompt), spec); };
  }
  const auto tokenizer = thalweg::T5Tokenizer::load(folder / "tokenizer");
  require_fits(tokenizer, spec, place);
  return [=](const std::string& prompt) {
    auto whole = tokenizer.encode_whole(prompt);
    const auto used = std::min(whole.size(), static_cast<size_t>(spec.length));
    auto ids = tokenizer.encode(prompt, spec.length);  // cut as it cuts
    ids.resize(used);
    return padded(std::move(ids), spec);
  };
}

}  // namespace exported
