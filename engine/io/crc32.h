// The two 32-bit checksums of the formats that this program writes and reads.
#pragma once

#include <cstdint>
#include <string_view>

namespace thalweg {

/// CRC-32 of PNG (specification, annex D) and zip.
uint32_t crc32(std::string_view bytes);

/// CRC-32C (Castagnoli) of TFRecord.
uint32_t crc32c(std::string_view bytes);

}  // namespace thalweg
