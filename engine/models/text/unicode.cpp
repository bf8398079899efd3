#include "engine/models/text/unicode.h"

#include <unicode/brkiter.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include <cstdint>
#include <memory>

#include "engine/core/error.h"

namespace thalweg {
namespace {

constexpr UChar32 kCapitalDottedI = 0x130;
constexpr UChar32 kCombiningDotAbove = 0x307;

void check(UErrorCode status) {
  if (U_FAILURE(status)) throw Error("ICU", std::string("its tables cannot be used: ") + u_errorName(status));
}

icu::UnicodeSet characters_of_unicode_9() {
  UErrorCode status = U_ZERO_ERROR;
  icu::UnicodeSet set(icu::UnicodeString::fromUTF8("[:Age=9.0:]"), status);
  check(status);
  set.freeze();
  return set;
}

const icu::Normalizer2& canonical_composition() {
  UErrorCode status = U_ZERO_ERROR;
  const auto* nfc = icu::Normalizer2::getNFCInstance(status);
  check(status);
  return *nfc;
}

// The peer composes with the tables of Unicode 9: later marks neither move nor combine there.

icu::UnicodeString compose(std::string_view text) {
  static const icu::UnicodeSet known = characters_of_unicode_9();
  static const icu::FilteredNormalizer2 composer(canonical_composition(), known);
  UErrorCode status = U_ZERO_ERROR;
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  icu::UnicodeString composed;
  composer.normalize(icu::UnicodeString::fromUTF8(piece), composed, status);
  check(status);
  return composed;
}

void append(std::string& utf8, UChar32 character) {
  uint8_t bytes[U8_MAX_LENGTH];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, character);
  utf8.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

}  // namespace

std::string clip_normalize(std::string_view text) {
  const auto composed = compose(text);
  std::string normal;
  normal.reserve(text.size());
  bool after_space = false;
  for (int32_t i = 0; i < composed.length();) {
    const UChar32 character = composed.char32At(i);
    i += U16_LENGTH(character);
    const bool space = u_isUWhiteSpace(character);
    if (!space) {
      append(normal, u_tolower(character));
      // The only character whose lower case is two characters whatever stands around it.
      if (character == kCapitalDottedI) append(normal, kCombiningDotAbove);
    } else if (!after_space) {
      normal += ' ';
    }
    after_space = space;
  }
  return normal;
}

CharacterKind next_character(std::string_view text, size_t& position) {
  UChar32 character = 0;
  U8_NEXT(text.data(), position, text.size(), character);
  const auto category = U_MASK(u_charType(character));
  if (category & U_GC_L_MASK) return CharacterKind::kLetter;
  if (category & U_GC_N_MASK) return CharacterKind::kNumber;
  return u_isUWhiteSpace(character) ? CharacterKind::kSpace : CharacterKind::kOther;
}

void for_each_grapheme(std::string_view text, const std::function<void(std::string_view)>& action) {
  UErrorCode status = U_ZERO_ERROR;
  // Made once, for it reads the rules; an iterator holds a position, so each call has its own copy.
  static const std::unique_ptr<icu::BreakIterator> prototype(
      icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
  check(status);
  const std::unique_ptr<icu::BreakIterator> breaks(prototype->clone());
  UText view = UTEXT_INITIALIZER;
  utext_openUTF8(&view, text.data(), static_cast<int64_t>(text.size()), &status);
  breaks->setText(&view, status);
  check(status);
  for (int32_t begin = breaks->first(), end = breaks->next(); end != icu::BreakIterator::DONE;
       begin = end, end = breaks->next())
    action(text.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  utext_close(&view);
}

}  // namespace thalweg
