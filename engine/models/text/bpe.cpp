#include "engine/models/text/bpe.h"

#include <limits>
#include <queue>
#include <unordered_set>

#include "engine/core/error.h"

namespace thalweg {
namespace {

constexpr const char* kEndOfWord = "</w>";
constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();

uint64_t pair_key(uint32_t left, uint32_t right) {
  return (uint64_t{left} << 32) | right;
}

}  // namespace

std::array<std::string, 256> byte_alphabet() {
  std::array<std::string, 256> names;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < names.size(); ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    const unsigned character = printable ? byte : next++;
    auto& name = names[byte];
    if (character < 0x80) {
      name = {static_cast<char>(character)};
    } else {
      name = {static_cast<char>(0xC0 | (character >> 6)), static_cast<char>(0x80 | (character & 0x3F))};
    }
  }
  return names;
}

// A word is a doubly linked list of symbols in one vector; a merge grows the left one and removes the right.
struct Bpe::Symbol {
  uint32_t id;
  int64_t previous;
  int64_t next;  // the word's length at its end
  bool removed = false;
};

struct Bpe::Candidate {
  uint32_t rank;
  uint32_t merged;
  int64_t position;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

Bpe::Bpe(BpeVocabulary vocabulary, const std::string& unknown) {
  std::unordered_set<int64_t> seen;
  for (const auto& [token, id] : vocabulary.ids) {
    if (id < 0 || id > kMaxId)
      throw Error(vocabulary.ids_place, "the token \"" + token + "\" has the id " + std::to_string(id) +
                                            "; ids lie in 0 .. " + std::to_string(kMaxId));
    if (!seen.insert(id).second)
      throw Error(vocabulary.ids_place, "the id " + std::to_string(id) + " is given to two tokens");
    largest_id_ = std::max(largest_id_, id);
  }
  ids_ = std::move(vocabulary.ids);
  index_bytes(unknown, vocabulary.ids_place);
  index_merges(vocabulary);
}

void Bpe::index_bytes(const std::string& unknown, const std::string& place) {
  const auto unknown_id = id(unknown);
  if (!unknown_id) throw Error(place, "lacks the unknown token \"" + unknown + "\"");
  const auto alphabet = byte_alphabet();
  for (size_t byte = 0; byte < alphabet.size(); ++byte) {
    inner_byte_[byte] = static_cast<uint32_t>(id(alphabet[byte]).value_or(*unknown_id));
    last_byte_[byte] = static_cast<uint32_t>(id(alphabet[byte] + kEndOfWord).value_or(*unknown_id));
  }
}

void Bpe::index_merges(const BpeVocabulary& vocabulary) {
  const auto require = [&](const std::string& token, size_t rank) {
    const auto found = id(token);
    if (!found)
      throw Error(vocabulary.merges_place, "merge " + std::to_string(rank + 1) + " needs the token \"" +
                                               token + "\", which the vocabulary lacks");
    return static_cast<uint32_t>(*found);
  };
  merges_.reserve(vocabulary.merges.size());
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const auto& [left, right] = vocabulary.merges[rank];
    const auto key = pair_key(require(left, rank), require(right, rank));
    // Of a pair that is listed twice the peer keeps the later rank.
    merges_[key] = {static_cast<uint32_t>(rank), require(left + right, rank)};
  }
}

std::optional<int64_t> Bpe::id(const std::string& token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const Bpe::Merge* Bpe::find_merge(uint32_t left, uint32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::encode(std::string_view word, std::vector<int64_t>& ids) const {
  const auto length = static_cast<int64_t>(word.size());
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (int64_t i = 0; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    symbols.push_back({i + 1 < length ? inner_byte_[byte] : last_byte_[byte], i - 1, i + 1});
  }

  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int64_t left) {
    if (left < 0 || symbols[left].next >= length) return;
    if (const auto* merge = find_merge(symbols[left].id, symbols[symbols[left].next].id))
      queue.push({merge->rank, merge->id, left});
  };
  for (int64_t i = 0; i < length; ++i) consider(i);

  while (!queue.empty()) {
    const auto best = queue.top();
    queue.pop();
    auto& left = symbols[best.position];
    if (left.removed || left.next >= length) continue;
    auto& right = symbols[left.next];
    // The neighbours may have changed since the candidate was queued.
    const auto* merge = find_merge(left.id, right.id);
    if (!merge || merge->id != best.merged) continue;

    left.id = best.merged;
    left.next = right.next;
    right.removed = true;
    if (left.next < length) symbols[left.next].previous = best.position;
    consider(left.previous);
    consider(best.position);
  }
  for (const auto& symbol : symbols) {
    if (!symbol.removed) ids.push_back(symbol.id);
  }
}

}  // namespace thalweg
