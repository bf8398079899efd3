// The one door to stb_image and stb_image_write (PNG alone). Callers check sizes first: see image.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace thalweg::stb {

/// PNG of tightly packed 8-bit RGB rows; empty when memory runs out.
std::string encode_rgb(const uint8_t* rgb, int width, int height);

/// Decodes into rgb[height * width * 3]. `width` and `height` are those of the checked header; no single
/// allocation may exceed what a picture of that size can need, so a deflate bomb fails instead of growing.
/// Returns what is wrong, or nothing.
std::optional<std::string> decode_rgb(std::string_view png, int width, int height, uint8_t* rgb);

}  // namespace thalweg::stb
