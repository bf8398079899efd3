// Whole numbers in the byte orders of file formats, whatever the machine's own.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace thalweg {

/// Of the first sizeof(Unsigned) bytes; there must be as many.
template <std::unsigned_integral Unsigned>
Unsigned big_endian(std::string_view bytes) {
  Unsigned value = 0;
  for (size_t i = 0; i < sizeof value; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

template <std::unsigned_integral Unsigned>
Unsigned little_endian(std::string_view bytes) {
  Unsigned value = 0;
  for (size_t i = sizeof value; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

template <std::unsigned_integral Unsigned>
std::string little_endian_bytes(Unsigned value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

}  // namespace thalweg
