#include "engine/models/text/clip_tokenizer.h"

#include <algorithm>
#include <array>
#include <map>

#include "engine/core/error.h"
#include "engine/models/text/bpe.h"
#include "engine/models/text/bpe_added_tokens.h"
#include "engine/models/text/bpe_files.h"
#include "engine/models/text/unicode.h"

namespace thalweg {
namespace {

constexpr size_t kMaxTextBytes = size_t{16} << 20;
constexpr std::array<std::string_view, 7> kContractions = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
// Literals of the word pattern. The byte-level stage cuts them again, into marks, letters and marks.
constexpr std::array<std::string_view, 2> kLiterals = {"<|startoftext|>", "<|endoftext|>"};

/// Length of the run of `kind` that starts at `begin`.
size_t run_length(std::string_view text, size_t begin, CharacterKind kind) {
  size_t end = begin;
  for (size_t next = begin; next < text.size(); end = next) {
    if (next_character(text, next) != kind) break;
  }
  return end - begin;
}

/// Length of the word at `begin`, which is not a blank: a contraction, letters, one number, or a run of the
/// rest.
size_t word_length(std::string_view text, size_t begin) {
  for (const auto contraction : kContractions) {
    if (text.substr(begin).starts_with(contraction)) return contraction.size();
  }
  size_t next = begin;
  const auto kind = next_character(text, next);
  return kind == CharacterKind::kNumber ? next - begin : run_length(text, begin, kind);
}

void encode_literal(const Bpe& bpe, std::string_view literal, std::vector<int64_t>& ids) {
  bpe.encode(literal.substr(0, 2), ids);
  bpe.encode(literal.substr(2, literal.size() - 4), ids);
  bpe.encode(literal.substr(literal.size() - 2), ids);
}

/// `text` is normalized and holds no added token.
void encode_words(const Bpe& bpe, std::string_view text, std::vector<int64_t>& ids) {
  for (size_t i = 0; i < text.size();) {
    const auto literal = std::find_if(kLiterals.begin(), kLiterals.end(),
                                      [&](std::string_view l) { return text.substr(i).starts_with(l); });
    if (literal != kLiterals.end()) {
      encode_literal(bpe, *literal, ids);
      i += literal->size();
    } else if (text[i] == ' ') {
      ++i;
    } else {
      const auto length = word_length(text, i);
      bpe.encode(text.substr(i, length), ids);
      i += length;
    }
  }
}

}  // namespace

struct ClipTokenizer::State {
  Bpe bpe;
  AddedTokens raw;         // looked for in the text as given
  AddedTokens normalized;  // and in what normalization leaves of the rest
  int64_t bos = 0, eos = 0, pad = 0, vocab_size = 0, max_length = 0;

  explicit State(TokenizerFiles files) : bpe(std::move(files.vocabulary), files.special.unknown) {
    max_length = files.special.max_length;
    add_tokens(files.special);
    if (const auto& frame = files.special.frame; frame && (frame->first != bos || frame->second != eos))
      throw Error(files.special.frame_place,
                  "post_processor does not put bos_token and eos_token around a text");
  }

  void add_tokens(const SpecialTokens& special);
};

void ClipTokenizer::State::add_tokens(const SpecialTokens& special) {
  std::map<std::string, std::pair<int64_t, const AddedToken*>> tokens;
  int64_t next_id = bpe.token_count();
  vocab_size = bpe.largest_id() + 1;
  for (const auto& token : special.added) {
    const auto& place = token.place;
    auto& [id, latest] = tokens[token.content];
    if (!latest) {
      const auto known = bpe.id(token.content);
      // New tokens are numbered on from the vocabulary's size; a vocabulary with gaps would collide.
      if (!known && next_id <= bpe.largest_id())
        throw Error(place, "the added token \"" + token.content + "\" would get an id that is taken");
      id = known ? *known : next_id++;
    }
    latest = &token;
    if (token.declared_id.value_or(id) != id)
      throw Error(place, "the added token \"" + token.content + "\" is declared as id " +
                             std::to_string(*token.declared_id) + " but the vocabulary makes it " +
                             std::to_string(id));
    vocab_size = std::max(vocab_size, id + 1);
  }

  std::vector<std::pair<std::string, int64_t>> raw_tokens;
  std::map<std::string, int64_t> normalized_tokens;
  for (const auto& [content, entry] : tokens) {
    const auto& [id, token] = entry;
    if (!token->is_normalized()) {
      raw_tokens.emplace_back(content, id);
    } else if (!normalized_tokens.emplace(clip_normalize(content), id).second) {
      throw Error(token->place, "two added tokens read \"" + clip_normalize(content) + "\" once normalized");
    }
  }
  raw = AddedTokens(std::move(raw_tokens));
  normalized = AddedTokens({normalized_tokens.begin(), normalized_tokens.end()});
  bos = tokens.at(special.bos).first;
  eos = tokens.at(special.eos).first;
  pad = tokens.at(special.pad).first;
}

ClipTokenizer::ClipTokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

ClipTokenizer ClipTokenizer::load(const std::filesystem::path& folder) {
  return from_files(read_tokenizer_files(tokenizer_folder(folder)));
}

ClipTokenizer ClipTokenizer::from_files(TokenizerFiles files) {
  return ClipTokenizer(std::make_shared<const State>(std::move(files)));
}

std::vector<int64_t> ClipTokenizer::begun(std::string_view utf8) const {
  if (utf8.size() > kMaxTextBytes) throw Error("prompt", "is longer than 16 MiB; shorten it");
  if (!is_valid_utf8(utf8)) throw Error("prompt", "is not valid UTF-8; save the prompts as UTF-8");
  std::vector<int64_t> ids = {state_->bos};
  for (const auto& piece : state_->raw.split(utf8)) {
    if (piece.id != AddedTokens::kText) {
      ids.push_back(piece.id);
      continue;
    }
    const auto text = clip_normalize(piece.text);
    for (const auto& part : state_->normalized.split(text)) {
      if (part.id != AddedTokens::kText) {
        ids.push_back(part.id);
      } else {
        encode_words(state_->bpe, part.text, ids);
      }
    }
  }
  return ids;
}

std::vector<int64_t> ClipTokenizer::encode_unpadded(std::string_view utf8) const {
  auto ids = begun(utf8);
  ids.resize(std::min(ids.size(), static_cast<size_t>(state_->max_length) - 1));
  ids.push_back(state_->eos);
  return ids;
}

int64_t ClipTokenizer::whole_length(std::string_view utf8) const {
  return static_cast<int64_t>(begun(utf8).size()) + 1;
}

std::vector<int64_t> ClipTokenizer::encode(std::string_view utf8) const {
  auto ids = encode_unpadded(utf8);
  ids.resize(static_cast<size_t>(state_->max_length), state_->pad);
  return ids;
}

int64_t ClipTokenizer::max_length() const {
  return state_->max_length;
}
int64_t ClipTokenizer::bos() const {
  return state_->bos;
}
int64_t ClipTokenizer::eos() const {
  return state_->eos;
}
int64_t ClipTokenizer::pad() const {
  return state_->pad;
}
int64_t ClipTokenizer::vocab_size() const {
  return state_->vocab_size;
}

}  // namespace thalweg
