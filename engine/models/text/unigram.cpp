#include "engine/models/text/unigram.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/models/text/unicode.h"

namespace thalweg {
namespace {

/// What is unknown scores this much below the rarest piece.
constexpr double kUnknownPenalty = 10.0;

}  // namespace

/// The best way to cut the text up to one of its bytes: its score, and its last piece.
struct Unigram::Best {
  static constexpr int64_t kUnreached = -1;

  double score = 0.0;
  int64_t begin = kUnreached;
  int64_t id = 0;

  void offer(double new_score, size_t new_begin, int64_t new_id) {
    if (begin == kUnreached || new_score > score)
      *this = {new_score, static_cast<int64_t>(new_begin), new_id};
  }
};

Unigram::Unigram(std::vector<UnigramPiece> pieces, int64_t unknown, const std::string& place)
    : pieces_(std::move(pieces)), unknown_(unknown), id_of_node_(1, -1) {
  if (unknown < 0 || unknown >= size())
    throw Error(place, "has no piece " + std::to_string(unknown) + ", which stands for unknown text");
  double lowest = pieces_.front().score;
  for (int64_t i = 0; i < size(); ++i) {
    const auto& [text, score] = pieces_[static_cast<size_t>(i)];
    if (!std::isfinite(score))
      throw Error(place, "the score of piece " + std::to_string(i) + " is not finite");
    if (text.empty() && i != unknown) throw Error(place, "piece " + std::to_string(i) + " is empty");
    if (!is_valid_utf8(text)) throw Error(place, "piece " + std::to_string(i) + " is not valid UTF-8");
    lowest = std::min(lowest, score);
    ids_[text] = i;
    uint64_t node = 0;
    for (const char c : text) {
      const auto [edge, is_new] = edges_.try_emplace(node << 8 | static_cast<uint8_t>(c), id_of_node_.size());
      if (is_new) id_of_node_.push_back(-1);
      node = edge->second;
    }
    if (node != 0) id_of_node_[node] = i;
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

int64_t Unigram::id(const std::string& text) const {
  const auto it = ids_.find(text);
  return it == ids_.end() ? -1 : it->second;
}

/// Offers every piece that starts at `begin`, and the unknown one where none is the character's own.
void Unigram::extend(std::string_view text, size_t begin, size_t character, std::vector<Best>& best) const {
  const double here = best[begin].score;
  bool covered = false;
  uint64_t node = 0;
  for (size_t end = begin; end < text.size();) {
    const auto edge = edges_.find(node << 8 | static_cast<uint8_t>(text[end]));
    if (edge == edges_.end()) break;
    node = edge->second;
    ++end;
    const auto id = id_of_node_[node];
    if (id < 0) continue;
    best[end].offer(here + pieces_[static_cast<size_t>(id)].score, begin, id);
    covered = covered || end == begin + character;
  }
  if (!covered) best[begin + character].offer(here + unknown_score_, begin, unknown_);
}

void Unigram::encode(std::string_view text, std::vector<int64_t>& ids) const {
  std::vector<Best> best(text.size() + 1);
  for (size_t begin = 0; begin < text.size();) {
    size_t next = begin;
    next_character(text, next);
    extend(text, begin, next - begin, best);
    begin = next;
  }
  std::vector<int64_t> reversed;
  bool after_unknown = false;
  for (size_t end = text.size(); end > 0; end = static_cast<size_t>(best[end].begin)) {
    const bool is_unknown = best[end].id == unknown_;
    if (!is_unknown || !after_unknown) reversed.push_back(best[end].id);
    after_unknown = is_unknown;
  }
  ids.insert(ids.end(), reversed.rbegin(), reversed.rend());
}

}  // namespace thalweg
