#include "pipelines/cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "rewards/stray_output.h"

namespace thalweg::cli {

void open_standard_descriptors() {
  for (int i = STDIN_FILENO; i <= STDERR_FILENO; ++i)
    if (::fcntl(i, F_GETFD) < 0) [[maybe_unused]]
      const int lowest = ::open("/dev/null", O_RDWR);
}

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
