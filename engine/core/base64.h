// Base64 of RFC 4648, section 4, with padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace thalweg {

std::string encode_base64(std::string_view bytes);

/// None where `text` is not base64: another character, or padding that does not fill up four digits.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace thalweg
