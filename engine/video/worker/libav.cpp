#include "engine/video/worker/libav.h"

#include <array>
#include <cerrno>
#include <cstdarg>

namespace thalweg::video {
namespace {

std::string first_error;  // what follows from it says less. Of the one thread that decodes and asks

void keep(void* object, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR || !first_error.empty()) return;
  std::array<char, 512> line{};
  int prefix = 0;
  av_log_format_line2(object, level, format, arguments, line.data(), line.size(), &prefix);
  first_error = line.data();
  while (!first_error.empty() && (first_error.back() == '\n' || first_error.back() == '.'))
    first_error.pop_back();
  // "[mov,mp4 @ 0x5581...] ": an address says nothing.
  if (const auto end = first_error.find("] "); first_error.starts_with('[') && end != std::string::npos)
    first_error.erase(0, end + 2);
}

}  // namespace

const std::string& error_kept() {
  return first_error;
}

void keep_errors() {
  first_error.clear();
  av_log_set_callback(&keep);
}

void refuse(const std::string& what, int code) {
  if (code == AVERROR(ENOMEM) && first_error.empty())
    throw Refused(what + ": it takes more memory than this program may have");
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  throw Refused(what + ": " + (first_error.empty() ? std::string(text.data()) : first_error));
}

}  // namespace thalweg::video
