#include "engine/weights/header_scanner.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "engine/core/error.h"

namespace thalweg {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

uint32_t hex4_at(std::string_view raw, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value * 16 + static_cast<uint32_t>(hex_value(raw[at + i]));
  return value;
}

void append_utf8(std::string& text, uint32_t point) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0 | (point >> 6));
    tail(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0 | (point >> 12));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | (point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_high_surrogate(uint32_t unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}

bool is_low_surrogate(uint32_t unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

}  // namespace

void HeaderScanner::fail() const {
  throw Error(place_, "the header is not valid JSON near its byte " + std::to_string(at_ + 1));
}

size_t HeaderScanner::position() {
  while (next() == ' ' || next() == '\t' || next() == '\n' || next() == '\r') ++at_;
  return at_;
}

std::string HeaderScanner::kind() {
  position();
  switch (next()) {
    case '{':
      return "an object";
    case '[':
      return "a list";
    case '"':
      return "a text";
    case 't':
    case 'f':
      return "a boolean";
    case 'n':
      return "null";
    case '-':
      return "a negative number";
    default:
      if (is_digit(next())) return "a number";
      fail();
  }
}

void HeaderScanner::take(char wanted) {
  if (!took(wanted)) fail();
}

bool HeaderScanner::took(char wanted) {
  position();
  if (next() != wanted) return false;
  ++at_;
  return true;
}

void HeaderScanner::word(std::string_view wanted) {
  position();
  if (!json_.substr(at_).starts_with(wanted)) fail();
  at_ += wanted.size();
}

HeaderScanner::Text HeaderScanner::text() {
  take('"');
  Text text;
  const auto begin = at_;
  while (next() != '"') {
    if (at_ == json_.size() || static_cast<unsigned char>(next()) < 0x20) fail();
    if (next() == '\\') {
      text.escaped = true;
      escape();
    } else {
      ++at_;
    }
  }
  text.raw = json_.substr(begin, at_ - begin);
  ++at_;
  return text;
}

void HeaderScanner::escape() {
  ++at_;
  const char c = next();
  if (c == '\0' || std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos) fail();
  ++at_;
  if (c != 'u') return;
  const auto unit = hex4();
  if (is_low_surrogate(unit)) fail();
  if (!is_high_surrogate(unit)) return;
  if (!json_.substr(at_).starts_with("\\u")) fail();
  at_ += 2;
  if (!is_low_surrogate(hex4())) fail();
}

uint32_t HeaderScanner::hex4() {
  for (int i = 0; i < 4; ++i, ++at_)
    if (hex_value(next()) < 0) fail();
  return hex4_at(json_, at_ - 4);
}

std::string HeaderScanner::Text::decoded() const {
  std::string text;
  text.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      text += raw[i];
      continue;
    }
    constexpr std::string_view kLetters = "bfnrt", kMeant = "\b\f\n\r\t";
    const char c = raw[++i];
    if (const auto letter = kLetters.find(c); letter != std::string_view::npos) {
      text += kMeant[letter];
    } else if (c != 'u') {
      text += c;
    } else {
      auto point = hex4_at(raw, i + 1);
      i += 4;
      if (is_high_surrogate(point)) {
        point = 0x10000 + ((point - 0xD800) << 10) + (hex4_at(raw, i + 3) - 0xDC00);
        i += 6;
      }
      append_utf8(text, point);
    }
  }
  return text;
}

size_t HeaderScanner::digits() {
  const auto begin = at_;
  while (is_digit(next())) ++at_;
  if (at_ == begin) fail();
  return at_ - begin;
}

HeaderScanner::Number HeaderScanner::number(uint64_t& value) {
  const auto begin = position();
  const bool negative = next() == '-';
  if (negative) ++at_;
  const bool zero = next() == '0';
  if (digits() > 1 && zero) fail();
  bool whole = true;
  if (next() == '.') {
    whole = false;
    ++at_;
    digits();
  }
  if (next() == 'e' || next() == 'E') {
    whole = false;
    ++at_;
    if (next() == '+' || next() == '-') ++at_;
    digits();
  }
  const auto token = json_.substr(begin, at_ - begin);
  if (whole && !negative) {
    const auto result = std::from_chars(token.data(), token.data() + token.size(), value);
    if (result.ec == std::errc()) return Number::whole;
  }
  // Too large for any number is no JSON to the reference reader.
  if (token.size() > 300 || !whole)
    if (!std::isfinite(std::strtod(std::string(token).c_str(), nullptr))) fail();
  return negative && whole ? Number::negative : Number::other;
}

void HeaderScanner::skip(int depth) {
  position();
  switch (next()) {
    case '{':
      if (depth == 0) fail();
      return object([&](const Text&) { skip(depth - 1); });
    case '[':
      if (depth == 0) fail();
      return list([&] { skip(depth - 1); });
    case '"':
      text();
      return;
    case 't':
      return word("true");
    case 'f':
      return word("false");
    case 'n':
      return null();
    default: {
      uint64_t ignored = 0;
      number(ignored);
    }
  }
}

void HeaderScanner::end() {
  if (position() != json_.size()) fail();
}

}  // namespace thalweg
