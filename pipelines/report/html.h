// Pieces of HTML text.
#pragma once

#include <string>
#include <string_view>

namespace thalweg::html {

/// Safe as text and inside double-quoted attributes. Bytes that are not UTF-8 and control characters become
/// U+FFFD.
std::string escape(std::string_view text);

/// "data:image/png;base64,...". Bytes that are not a PNG give "".
std::string png_uri(std::string_view png);

/// "data:video/mp4;base64,...". Bytes that are not an MP4 give "".
std::string mp4_uri(std::string_view mp4);

struct PngSize {
  int width = 0;
  int height = 0;
};

/// From the header; zeros when the bytes are not a PNG.
PngSize png_size(std::string_view png);

/// "12.345%" of a fraction in [0,1].
std::string percent(double fraction);

}  // namespace thalweg::html
