#include "engine/io/crc32.h"

#include <array>

namespace thalweg {
namespace {

/// By the reflected polynomial; each byte's remainder from a table.
template <uint32_t polynomial>
uint32_t checksum(std::string_view bytes) {
  static constexpr auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t byte = 0; byte < table.size(); ++byte) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? polynomial : 0u);
      table[byte] = value;
    }
    return table;
  }();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

}  // namespace

uint32_t crc32(std::string_view bytes) {
  return checksum<0xEDB88320u>(bytes);
}

uint32_t crc32c(std::string_view bytes) {
  return checksum<0x82F63B78u>(bytes);
}

}  // namespace thalweg
