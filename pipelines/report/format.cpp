#include "pipelines/report/format.h"

#include <cmath>
#include <cstdio>

namespace thalweg {

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
