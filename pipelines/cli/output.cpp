#include "pipelines/cli/output.h"

#include <unistd.h>

#include <cerrno>

#include "rewards/stray_output.h"

namespace thalweg::cli {

int standard_output() {
  static const int descriptor = keep_standard_output();
  return descriptor;
}

void print(const std::string& text) {
  const char* bytes = text.data();
  for (size_t left = text.size(); left > 0;) {
    const ssize_t written = ::write(standard_output(), bytes, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes += written;
    left -= static_cast<size_t>(written);
  }
}

}  // namespace thalweg::cli
