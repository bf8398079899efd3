// A judge's question as a file with slots: {prompt}, {criteria}, {image:0}, {reference:0}. What is put into a
// slot is put there once and never looked at again: a prompt that reads "{image:0}" is a text of nine
// characters.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace remote {

/// A piece of a template, or of the message that is made of it.
struct Piece {
  enum class Kind { text, prompt, criteria, image, reference };
  Kind kind = Kind::text;
  std::string text;  // of a text
};

class PromptTemplate {
 public:
  PromptTemplate() = default;
  /// {{word}} is the text "{word}"; other braces are themselves. Throws thalweg::Error at `place` for a slot
  /// that is not known ({promt}, {image:1}), and for text that is no UTF-8.
  PromptTemplate(std::string_view text, const std::string& place);

  bool has(Piece::Kind kind) const;

  /// Texts and pictures in order; neighbouring texts are one.
  std::vector<Piece> filled(std::string_view prompt, std::string_view criteria) const;

 private:
  std::vector<Piece> pieces_;
};

}  // namespace remote
