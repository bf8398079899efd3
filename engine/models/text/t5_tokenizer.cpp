#include "engine/models/text/t5_tokenizer.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <map>

#include "engine/core/error.h"
#include "engine/models/text/bpe_added_tokens.h"
#include "engine/models/text/precompiled_charsmap.h"
#include "engine/models/text/t5_files.h"
#include "engine/models/text/unicode.h"
#include "engine/models/text/unigram.h"

namespace thalweg {
namespace {

constexpr size_t kMaxTextBytes = size_t{16} << 20;
constexpr int64_t kUnknown = 2;                       // whatever the files say, as in transformers
constexpr std::string_view kMarker = "\xe2\x96\x81";  // U+2581, where a word begins

/// `word` holds no blank. Each piece of it starts at a marker.
void encode_word(const Unigram& unigram, std::string_view word, std::vector<int64_t>& ids) {
  std::string marked;
  if (!word.starts_with(kMarker)) marked = kMarker;
  marked += word;
  for (size_t begin = 0; begin < marked.size();) {
    const auto end = std::min(marked.find(kMarker, begin + kMarker.size()), marked.size());
    unigram.encode(std::string_view(marked).substr(begin, end - begin), ids);
    begin = end;
  }
}

void encode_words(const Unigram& unigram, std::string_view text, std::vector<int64_t>& ids) {
  size_t word = 0;
  for (size_t i = 0; i < text.size();) {
    const auto begin = i;
    if (next_character(text, i) != CharacterKind::kSpace) continue;
    if (begin > word) encode_word(unigram, text.substr(word, begin - word), ids);
    word = i;
  }
  if (word < text.size()) encode_word(unigram, text.substr(word), ids);
}

}  // namespace

struct T5Tokenizer::State {
  PrecompiledCharsmap charsmap;
  Unigram unigram;
  AddedTokens raw;         // looked for in the text as given
  AddedTokens normalized;  // and in what normalisation leaves of the rest
  int64_t eos = 0, pad = 0, vocab_size = 0;

  explicit State(T5TokenizerFiles files)
      : charsmap(files.charsmap, files.place), unigram(std::move(files.pieces), kUnknown, files.place) {
    add_tokens(files.special);
  }

  void add_tokens(const SpecialTokens& special);
};

void T5Tokenizer::State::add_tokens(const SpecialTokens& special) {
  vocab_size = unigram.size();
  std::map<std::string, int64_t> ids;
  std::vector<std::pair<std::string, int64_t>> raw_tokens;
  std::map<std::string, int64_t> normalized_tokens;
  for (const auto& token : special.added) {
    const auto known = unigram.id(token.content);
    const auto [entry, is_new] = ids.emplace(token.content, known >= 0 ? known : vocab_size);
    const auto id = entry->second;
    if (token.declared_id.value_or(id) != id)
      throw Error(token.place, "the added token \"" + token.content + "\" is declared as id " +
                                   std::to_string(*token.declared_id) + " but the vocabulary makes it " +
                                   std::to_string(id));
    if (!is_new) continue;
    vocab_size = std::max(vocab_size, id + 1);
    if (token.is_normalized())
      normalized_tokens.emplace(charsmap.normalize(token.content), id);
    else
      raw_tokens.emplace_back(token.content, id);
  }
  normalized_tokens.erase("");
  raw = AddedTokens(std::move(raw_tokens));
  normalized = AddedTokens({normalized_tokens.begin(), normalized_tokens.end()});
  eos = ids.at(special.eos);
  pad = ids.at(special.pad);
}

T5Tokenizer::T5Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

T5Tokenizer T5Tokenizer::load(const std::filesystem::path& folder) {
  return T5Tokenizer(std::make_shared<const State>(read_t5_tokenizer_files(folder)));
}

std::vector<int64_t> T5Tokenizer::encode_whole(std::string_view utf8) const {
  if (utf8.size() > kMaxTextBytes) throw Error("prompt", "is longer than 16 MiB; shorten it");
  if (!is_valid_utf8(utf8)) throw Error("prompt", "is not valid UTF-8; save the prompts as UTF-8");
  std::vector<int64_t> ids;
  for (const auto& piece : state_->raw.split(utf8)) {
    if (piece.id != AddedTokens::kText) {
      ids.push_back(piece.id);
      continue;
    }
    const auto text = state_->charsmap.normalize(piece.text);
    for (const auto& part : state_->normalized.split(text)) {
      if (part.id != AddedTokens::kText)
        ids.push_back(part.id);
      else
        encode_words(state_->unigram, part.text, ids);
    }
  }
  ids.push_back(state_->eos);
  return ids;
}

std::vector<int64_t> T5Tokenizer::encode(std::string_view utf8, int64_t length) const {
  TORCH_CHECK(length >= 1, "T5 needs room for the end token");
  auto ids = encode_whole(utf8);
  if (static_cast<int64_t>(ids.size()) > length) {
    ids.resize(static_cast<size_t>(length));
    ids.back() = state_->eos;
  }
  ids.resize(static_cast<size_t>(length), state_->pad);
  return ids;
}

int64_t T5Tokenizer::eos() const {
  return state_->eos;
}
int64_t T5Tokenizer::pad() const {
  return state_->pad;
}
int64_t T5Tokenizer::vocab_size() const {
  return state_->vocab_size;
}

}  // namespace thalweg
