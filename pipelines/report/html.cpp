#include "pipelines/report/html.h"

#include <cmath>
#include <cstdint>
#include <cstdio>

#include "pipelines/report/report.h"

namespace thalweg {
namespace html {
namespace {

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

// Length of the well-formed UTF-8 sequence at the front (Unicode 15, table 3-7); 0 when there is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first < 0xE0   ? 2
                        : (first >> 4) == 0xE           ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  if (first == 0xE0 && byte(1) < 0xA0) return 0;   // overlong
  if (first == 0xED && byte(1) >= 0xA0) return 0;  // surrogates
  if (first == 0xF0 && byte(1) < 0x90) return 0;   // overlong
  if (first == 0xF4 && byte(1) >= 0x90) return 0;  // above U+10FFFF
  return length;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = sequence_length(text);
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

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t block = 0;
    for (size_t j = 0; j < 3; ++j)
      block = block << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      out.push_back(i + j > bytes.size() ? '=' : kDigits[(block >> (18 - 6 * j)) & 63]);
  }
  return out;
}

std::string png_uri(std::string_view png) {
  return png_size(png).width == 0 ? "" : "data:image/png;base64," + base64(png);
}

PngSize png_size(std::string_view png) {
  if (png.size() < 24 || png.substr(0, 8) != kPngSignature) return {};
  const auto word = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(png[at + i]);
    return static_cast<int>(value & 0x7fffffff);
  };
  return {word(16), word(20)};
}

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f%%", fraction * 100.0);
  return text;
}

}  // namespace html

std::string format_number(double value) {
  if (!std::isfinite(value)) return "-";
  char text[32];
  const double size = std::fabs(value);
  if (value == 0.0) return "0";
  if (size >= 1e6 || size < 1e-4) {
    std::snprintf(text, sizeof text, "%.3g", value);
  } else if (size >= 1000.0) {
    std::snprintf(text, sizeof text, "%.0f", value);
  } else {
    // Decimals stand still between neighbours of like size: 0.860 beside 0.312.
    const int decimals = size >= 100.0 ? 1 : size >= 10.0 ? 2 : size >= 0.01 ? 3 : 5;
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
  }
  return text;
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0.0) return "-";
  char text[48];
  const auto whole = static_cast<long long>(std::fmin(seconds, 1e12) + 0.5);
  if (seconds < 9.95)
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  else if (whole < 60)
    std::snprintf(text, sizeof text, "%lld s", whole);
  else if (whole < 3600)
    std::snprintf(text, sizeof text, "%lld min %02lld s", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
  return text;
}

}  // namespace thalweg
