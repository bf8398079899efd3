// The length of a picture as a JPEG file, by libjpeg. Nothing is stored: the bytes are counted as they come.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace jpeg {

/// Samples of brightness for one of colour, across and down: {2, 2} is "4:2:0".
using Subsampling = std::array<int, 2>;

/// Bytes of the baseline JFIF file of `rgb` (rows of width x 3 bytes), with Huffman tables as the standard
/// suggests them: what Pillow's save(format="JPEG", quality=quality) writes. Quality is 1 to 100.
/// Throws std::runtime_error with libjpeg's own words for what it refuses (a side above 65,500).
std::int64_t encoded_size(const std::vector<unsigned char>& rgb, std::int64_t width, std::int64_t height,
                          int quality, Subsampling subsampling);

}  // namespace jpeg
