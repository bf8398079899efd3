// The words of simple captions, and a reader that takes one after the other.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shapes {

inline constexpr int kColors = 6;
inline constexpr int kShapes = 3;
inline constexpr std::array<std::string_view, kColors> color_words = {"red",    "green",  "blue",
                                                                      "yellow", "purple", "cyan"};
inline constexpr std::array<std::string_view, kShapes> shape_words = {"circle", "square", "triangle"};

/// Upper and lower case are alike, and so is any amount of white space; a final full stop is left out.
class Words {
 public:
  /// `grammar` (a literal) names in messages what the prompt should have followed.
  Words(std::string_view prompt, const char* grammar);

  /// The next word; "" after the last.
  std::string_view peek() const { return at_ < words_.size() ? std::string_view(words_[at_]) : ""; }
  void skip() { ++at_; }

  /// The index of the next word in `known`, which is then skipped. Throws std::invalid_argument, with the
  /// word and `expected`, where it is none of them.
  int index_in(std::span<const std::string_view> known, const char* expected);

  int color() { return index_in(color_words, "a colour (red, green, blue, yellow, purple, cyan)"); }
  int shape() { return index_in(shape_words, "circle, square or triangle"); }

  /// Throws std::invalid_argument: the prompt is outside the grammar, and why.
  [[noreturn]] void refuse(const std::string& reason) const;

 private:
  const char* grammar_;
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

}  // namespace shapes
