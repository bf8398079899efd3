#include "pipelines/report/html.h"

#include <cmath>
#include <cstdint>
#include <cstdio>

#include "engine/core/base64.h"
#include "engine/core/bytes.h"
#include "engine/core/utf8.h"

namespace thalweg {
namespace html {
namespace {

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = utf8_character_length(text);
    const char c = text[0];
    const bool control = static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\t';
    if (length == 0 || control || c == 0x7f)
      out += "\xEF\xBF\xBD";
    else if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else
      out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string png_uri(std::string_view png) {
  return png_size(png).width == 0 ? "" : "data:image/png;base64," + encode_base64(png);
}

std::string mp4_uri(std::string_view mp4) {
  return mp4.size() < 12 || mp4.substr(4, 4) != "ftyp" ? "" : "data:video/mp4;base64," + encode_base64(mp4);
}

PngSize png_size(std::string_view png) {
  if (png.size() < 24 || png.substr(0, 8) != kPngSignature) return {};
  const auto word = [&](size_t at) {
    return static_cast<int>(big_endian<uint32_t>(png.substr(at)) & 0x7fffffff);
  };
  return {word(16), word(20)};
}

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f%%", fraction * 100.0);
  return text;
}

}  // namespace html

}  // namespace thalweg
