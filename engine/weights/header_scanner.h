// Tokens of a safetensors header, taken where they stand: a JSON library would copy each text several times,
// and a header may hold 100 MB of them. Private to safetensors_header.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace thalweg {

class HeaderScanner {
 public:
  /// `json` is valid UTF-8 and outlives what is taken from it; scanning starts at byte `at`.
  HeaderScanner(std::string_view json, const std::string& place, size_t at = 0)
      : json_(json), place_(place), at_(at) {}

  /// Byte of the next token (white space is passed over).
  size_t position();

  /// What the next value is, in words that follow "is": "a list", "null".
  std::string kind();

  /// Calls `member(key)` for each member of an object; it takes the value.
  template <typename Member>
  void object(Member member) {
    take('{');
    if (took('}')) return;
    do {
      const auto key = text();
      take(':');
      member(key);
    } while (took(','));
    take('}');
  }

  /// Calls `element()` for each element of a list; it takes the value.
  template <typename Element>
  void list(Element element) {
    take('[');
    if (took(']')) return;
    do element();
    while (took(','));
    take(']');
  }

  struct Text {
    std::string_view raw;  // between the quotes
    bool escaped = false;
    std::string decoded() const;  // no longer than `raw`
  };
  Text text();

  enum class Number { whole, negative, other };
  /// A number; `value` is set when it is whole, from 0 and below 2^64.
  Number number(uint64_t& value);

  /// Takes null.
  void null() { word("null"); }

  /// Takes any value, at most `depth` containers deep.
  void skip(int depth);

  /// Nothing but white space may be left.
  void end();

 private:
  [[noreturn]] void fail() const;
  char next() const { return at_ < json_.size() ? json_[at_] : '\0'; }
  void take(char wanted);
  bool took(char wanted);
  void word(std::string_view wanted);
  size_t digits();
  void escape();
  uint32_t hex4();

  std::string_view json_;
  const std::string& place_;
  size_t at_;
};

}  // namespace thalweg
