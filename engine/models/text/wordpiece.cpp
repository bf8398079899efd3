#include "engine/models/text/wordpiece.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/text.h"
#include "engine/models/text/bert_words.h"
#include "engine/models/text/bpe_added_tokens.h"

namespace thalweg {
namespace {

constexpr size_t kMaxFileBytes = size_t{64} << 20;
constexpr size_t kMaxTextBytes = size_t{16} << 20;
constexpr size_t kMostCharacters = 100;  // of a word; a longer one is unknown
constexpr std::array<const char*, 7> kSpecial = {"[UNK]",  "[CLS]", "[SEP]", "[PAD]",
                                                 "[MASK]", "[DEC]", "[ENC]"};
constexpr size_t kRequired = 3;  // of them, the first

using Vocabulary = std::unordered_map<std::string, int64_t>;

Vocabulary read_vocabulary(const std::filesystem::path& path) {
  const auto bytes = read_file(path, kMaxFileBytes);
  if (!is_valid_utf8(bytes)) throw Error(path.string(), "is not UTF-8");
  Vocabulary vocabulary;
  int64_t id = 0;
  for (size_t begin = 0; begin < bytes.size(); ++id) {
    const auto end = std::min(bytes.find('\n', begin), bytes.size());
    auto piece = bytes.substr(begin, end - begin);
    if (piece.ends_with('\r')) piece.pop_back();
    if (!vocabulary.emplace(piece, id).second)
      throw Error(path.string(), "line " + std::to_string(id + 1) + ": \"" + piece + "\" is there already");
    begin = end + 1;
  }
  return vocabulary;
}

bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

}  // namespace

struct WordPiece::State {
  Vocabulary vocabulary;
  AddedTokens special;
  int64_t unknown = 0, begin = 0, end = 0;

  explicit State(const std::filesystem::path& path) : vocabulary(read_vocabulary(path)) {
    std::vector<std::pair<std::string, int64_t>> found;
    for (size_t i = 0; i < kSpecial.size(); ++i) {
      if (const auto it = vocabulary.find(kSpecial[i]); it != vocabulary.end())
        found.emplace_back(*it);
      else if (i < kRequired)
        throw Error(path.string(), std::string("has no ") + kSpecial[i] +
                                       ": it must be the vocab.txt of a BERT (bert-base-uncased)");
    }
    unknown = found[0].second, begin = found[1].second, end = found[2].second;
    special = AddedTokens(std::move(found));
  }

  /// Where the longest piece from `begin` on ends, and its id; none: no piece begins so.
  std::optional<std::pair<size_t, int64_t>> longest(const std::string& word, size_t begin) const {
    const std::string prefix = begin == 0 ? "" : "##";
    for (size_t end = word.size(); end > begin; --end) {
      if (end < word.size() && !begins_character(word[end])) continue;
      const auto it = vocabulary.find(prefix + word.substr(begin, end - begin));
      if (it != vocabulary.end()) return std::pair{end, it->second};
    }
    return std::nullopt;
  }

  /// A word of which any part is in no piece is unknown as a whole.
  void append(const std::string& word, std::vector<int64_t>& ids) const {
    const auto before = ids.size();
    const auto characters = std::count_if(word.begin(), word.end(), begins_character);
    for (size_t i = 0; i < word.size();) {
      const auto piece = static_cast<size_t>(characters) > kMostCharacters ? std::nullopt : longest(word, i);
      if (!piece) {
        ids.resize(before);
        ids.push_back(unknown);
        return;
      }
      ids.push_back(piece->second);
      i = piece->first;
    }
  }
};

WordPiece::WordPiece(std::shared_ptr<const State> state) : state_(std::move(state)) {}

WordPiece WordPiece::load(const std::filesystem::path& vocabulary) {
  return WordPiece(std::make_shared<const State>(vocabulary));
}

std::vector<int64_t> WordPiece::encode(std::string_view utf8, int64_t max_length) const {
  if (max_length < 2) throw Error("", "max_length must be at least 2");
  if (utf8.size() > kMaxTextBytes) throw Error("prompt", "is longer than 16 MiB; shorten it");
  if (!is_valid_utf8(utf8)) throw Error("prompt", "is not valid UTF-8; save the prompts as UTF-8");
  const auto most = static_cast<size_t>(max_length) - 1;
  std::vector<int64_t> ids = {state_->begin};
  for (const auto& part : state_->special.split(utf8)) {
    if (ids.size() >= most) break;
    if (part.id != AddedTokens::kText) {
      ids.push_back(part.id);
      continue;
    }
    for_each_bert_word(part.text, [&](const std::string& word) {
      state_->append(word, ids);
      return ids.size() < most;
    });
  }
  ids.resize(std::min(ids.size(), most));
  ids.push_back(state_->end);
  return ids;
}

int64_t WordPiece::vocab_size() const {
  return static_cast<int64_t>(state_->vocabulary.size());
}

}  // namespace thalweg
