#include "engine/models/text/bert_words.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "engine/core/error.h"

namespace thalweg {
namespace {

void check(UErrorCode status) {
  if (U_FAILURE(status)) throw Error("ICU", std::string("its tables cannot be used: ") + u_errorName(status));
}

bool is_ideograph(UChar32 c) {
  // Blocks that BERT knew, not all that Unicode has by now.
  constexpr std::array<std::pair<UChar32, UChar32>, 8> kBlocks{{{0x4E00, 0x9FFF},
                                                                {0x3400, 0x4DBF},
                                                                {0x20000, 0x2A6DF},
                                                                {0x2A700, 0x2B73F},
                                                                {0x2B740, 0x2B81F},
                                                                {0x2B820, 0x2CEAF},
                                                                {0xF900, 0xFAFF},
                                                                {0x2F800, 0x2FA1F}}};
  return std::any_of(kBlocks.begin(), kBlocks.end(),
                     [c](const auto& block) { return block.first <= c && c <= block.second; });
}

bool is_space(UChar32 c) {
  return c == '\t' || c == '\n' || c == '\r' || u_isUWhiteSpace(c);
}

bool is_dropped(UChar32 c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return c == 0xFFFD || (U_MASK(u_charType(c)) & U_GC_C_MASK) != 0;
}

/// Every mark of ASCII counts, "$" and "+" too.
bool is_punctuation(UChar32 c) {
  if (c < 0x80) return c > ' ' && c < 0x7F && !u_isalnum(c);
  return (U_MASK(u_charType(c)) & U_GC_P_MASK) != 0;
}

/// Without what is dropped; blanks around ideographs.
icu::UnicodeString cleaned(std::string_view text) {
  icu::UnicodeString clean;
  for (size_t i = 0; i < text.size();) {
    UChar32 c = 0;
    U8_NEXT(text.data(), i, text.size(), c);
    if (is_dropped(c)) continue;
    if (is_space(c)) {
      clean.append(UChar32{' '});
    } else if (is_ideograph(c)) {
      clean.append(UChar32{' '}).append(c).append(UChar32{' '});
    } else {
      clean.append(c);
    }
  }
  return clean;
}

icu::UnicodeString decomposed(const icu::UnicodeString& text) {
  UErrorCode status = U_ZERO_ERROR;
  const auto* nfd = icu::Normalizer2::getNFDInstance(status);
  check(status);
  auto result = nfd->normalize(text, status);
  check(status);
  return result;
}

}  // namespace

void for_each_bert_word(std::string_view text, const std::function<bool(const std::string&)>& action) {
  const auto plain = decomposed(cleaned(text));
  icu::UnicodeString word;
  std::string utf8;
  const auto finish = [&] {  // of the word so far; whether to go on
    if (word.isEmpty()) return true;
    utf8.clear();
    word.toUTF8String(utf8);
    word.remove();
    return action(utf8);
  };
  for (int32_t i = 0; i < plain.length();) {
    const UChar32 given = plain.char32At(i);
    i += U16_LENGTH(given);
    if (u_charType(given) == U_NON_SPACING_MARK) continue;
    const UChar32 c = u_tolower(given);
    const bool mark = is_punctuation(c);
    if ((mark || is_space(c)) && !finish()) return;
    if (is_space(c)) continue;
    word.append(c);
    if (mark && !finish()) return;
  }
  finish();
}

}  // namespace thalweg
