// Unicode as the tokenizers see it, on UTF-8 that has been checked (is_valid_utf8). Tables: ICU's; the peer
// (tokenizers) has its own, and the two agree on every code point assigned in Unicode 15.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "engine/core/text.h"

namespace thalweg {

/// Canonical composition, every run of White_Space as one blank, then each character in lower case by itself
/// (a final sigma stays a sigma; U+0130 becomes two). `text` is valid UTF-8 and under 2^31 bytes.
std::string clip_normalize(std::string_view text);

enum class CharacterKind { kLetter, kNumber, kSpace, kOther };

/// Kind of the character that starts at `position` (general categories L and N, property White_Space);
/// moves `position` past it.
CharacterKind next_character(std::string_view text, size_t& position);

/// Calls `action` for each extended grapheme cluster (what a reader takes for one character) of valid UTF-8.
void for_each_grapheme(std::string_view text, const std::function<void(std::string_view)>& action);

}  // namespace thalweg
