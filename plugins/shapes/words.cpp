#include "words.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace shapes {

Words::Words(std::string_view prompt, const char* grammar) : grammar_(grammar) {
  std::string word;
  for (const char letter : prompt) {
    if (std::string_view(" \t\r\n").find(letter) == std::string_view::npos) {
      word += letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
    } else if (!word.empty()) {
      words_.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) words_.push_back(word);
  if (!words_.empty() && words_.back().back() == '.') words_.back().pop_back();
}

int Words::index_in(std::span<const std::string_view> known, const char* expected) {
  const auto found = std::find(known.begin(), known.end(), peek());
  if (peek().empty() || found == known.end()) {
    const std::string got = peek().empty() ? "the prompt ends" : "it says \"" + std::string(peek()) + "\"";
    refuse(got + " where " + expected + " is expected");
  }
  skip();
  return static_cast<int>(found - known.begin());
}

void Words::refuse(const std::string& reason) const {
  throw std::invalid_argument(std::string("the prompt is outside the ") + grammar_ + " grammar: " + reason);
}

}  // namespace shapes
