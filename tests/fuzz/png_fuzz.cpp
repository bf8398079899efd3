#include <ATen/ATen.h>

#include "engine/io/image.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {
namespace {

uint32_t crc_of(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  return ~crc;
}

std::string with_checksums(std::string png) {
  for (size_t at = 8; at + 12 <= png.size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(png[at + i]);
    if (length > png.size() - at - 12) break;
    const auto crc = crc_of(std::string_view(png).substr(at + 4, 4 + length));
    for (size_t i = 0; i < 4; ++i) png[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
  return png;
}

void decode(std::string_view png) {
  at::Tensor picture_3HW;
  if (!accepted([&] { picture_3HW = decode_png(png, "a.png"); })) return;
  require(picture_3HW.dim() == 3 && picture_3HW.size(0) == 3, "a picture is [3,H,W]");
  require(picture_3HW.numel() <= 3 * kMaxReadPixels, "a picture keeps to the limit");
  const auto [low, high] = at::aminmax(picture_3HW);
  require(low.item<float>() >= 0.0f && high.item<float>() <= 1.0f, "pixels lie in [0,1]");
  if (picture_3HW.numel() <= 3 * 64 * 64)
    require(at::equal(decode_png(encode_png(picture_3HW), "b.png"), picture_3HW), "a picture comes back");
}

}  // namespace

void png(std::string_view input) {
  decode(input);
  decode(with_checksums(std::string(input)));
}

}  // namespace thalweg::fuzz
