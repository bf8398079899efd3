// What the worlds' lists of captions share: a hash that splits them, and draws in shares.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thalweg::scenes {

/// The same on every machine; another salt, another hash.
std::uint64_t hash_text(const std::string& text, std::uint64_t salt);

/// Captions of which `percent` of a draw are taken.
struct CaptionPool {
  int percent = 0;
  std::vector<std::string> texts;  ///< not empty
};

/// `n` captions in the pools' shares, shuffled, those of one pool used equally often (their counts differ by
/// one at most). Throws Error for a negative `n`.
std::vector<std::string> draw_from(std::vector<CaptionPool> pools, int n, std::uint64_t seed);

/// Every word of the texts, sorted.
std::vector<std::string> words_of(const std::vector<std::string>& texts);

}  // namespace thalweg::scenes
