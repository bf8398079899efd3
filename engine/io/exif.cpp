#include "engine/io/exif.h"

#include <cstddef>
#include <cstdint>

namespace thalweg {
namespace {

constexpr std::string_view kBegin("Exif\0\0", 6);
constexpr size_t kEntryBytes = 12;
constexpr uint32_t kOrientation = 0x0112, kShort = 3;

// TIFF: a byte order, then numbers at offsets from the beginning. What lies outside reads as 0.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes), big_(bytes.starts_with("MM")) {}

  uint32_t number(size_t at, size_t length) const {
    if (at > bytes_.size() || length > bytes_.size() - at) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < length; ++i)
      value = value << 8 | static_cast<uint8_t>(bytes_[at + (big_ ? i : length - 1 - i)]);
    return value;
  }

 private:
  std::string_view bytes_;
  bool big_;
};

}  // namespace

int exif_orientation(std::string_view app1) {
  if (!app1.starts_with(kBegin)) return 1;
  const auto bytes = app1.substr(kBegin.size());
  if (!bytes.starts_with("MM") && !bytes.starts_with("II")) return 1;
  const Tiff tiff(bytes);
  if (tiff.number(2, 2) != 42) return 1;
  const size_t directory = tiff.number(4, 4);
  const size_t entries = tiff.number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + i * kEntryBytes;
    if (tiff.number(at, 2) != kOrientation) continue;
    const auto value = tiff.number(at + 8, 2);
    return tiff.number(at + 2, 2) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace thalweg
