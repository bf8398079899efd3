// The one door to libjpeg's decoder. Callers check sizes between the two calls: see picture.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace thalweg::jpeg {

struct Header {
  int64_t width = 0, height = 0;
  int orientation = 1;  // see exif.h
};

/// What the bytes up to the first scan say. Returns what is wrong, or nothing.
std::optional<std::string> read_header(std::string_view bytes, Header& header);

/// Decodes into rgb[height * width * 3], upright or not, as libjpeg and Pillow do by default. `width` and
/// `height` are those of the checked header; the decoder's memory is capped by that size, and so is the
/// number of scans, each of which costs the time of a whole picture. Data that are damaged or cut short are
/// refused, where libjpeg would make up pixels. Returns what is wrong, or nothing.
std::optional<std::string> decode_rgb(std::string_view bytes, int64_t width, int64_t height, uint8_t* rgb);

}  // namespace thalweg::jpeg
