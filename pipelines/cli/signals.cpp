#include "pipelines/cli/signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "pipelines/cli/watch.h"
#include "rewards/kept_state.h"

namespace thalweg::cli {
namespace {

// Two threads may be handed two signals at once: one of them has to see the other's.
std::atomic<bool> stop_flag = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may use lock-free atomics alone");

void on_signal(int number) {
  if (stop_flag.exchange(true)) {
    if (number == SIGHUP) return;  // a terminal that closes may tell so twice
    tell_end(128 + number);
    std::_Exit(128 + number);  // as a kill: what is on the disk is whole
  }
  constexpr std::string_view kText =
      "\nstopping, as soon as what is done is kept (once more: stop at once)\n";
  const int interrupted = errno;
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kText.data(), kText.size());
  errno = interrupted;
}

}  // namespace

void watch_signals() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  if (std::signal(SIGHUP, on_signal) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // nohup
  std::signal(SIGPIPE, SIG_IGN);  // a closed pager must not end a run
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error like a full disk
  for (const int number : {SIGINT, SIGTERM, SIGPIPE})
    keep_signal_handler(number);  // those that libraries change
}

bool stop_requested() {
  return stop_flag;
}

}  // namespace thalweg::cli
