#include "engine/video/worker/libav.h"

#include <array>
#include <cerrno>
#include <cstdarg>

namespace thalweg::video {
namespace {

std::string last_error;  // of this process' one thread that reads it

void keep(void* object, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR) return;
  std::array<char, 512> line{};
  int prefix = 0;
  av_log_format_line2(object, level, format, arguments, line.data(), line.size(), &prefix);
  last_error = line.data();
  while (!last_error.empty() && (last_error.back() == '\n' || last_error.back() == '.')) last_error.pop_back();
  // "[mov,mp4 @ 0x5581...] ": an address says nothing.
  if (const auto end = last_error.find("] "); last_error.starts_with('[') && end != std::string::npos)
    last_error.erase(0, end + 2);
}

}  // namespace

void keep_errors() {
  av_log_set_callback(&keep);
}

void refuse(const std::string& what, int code) {
  if (code == AVERROR(ENOMEM) && last_error.empty())
    throw Refused(what + ": it takes more memory than this program may have");
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  throw Refused(what + ": " + (last_error.empty() ? std::string(text.data()) : last_error));
}

}  // namespace thalweg::video
