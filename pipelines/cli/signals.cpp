#include "pipelines/cli/signals.h"

#include <csignal>
#include <cstdlib>

namespace thalweg::cli {
namespace {

volatile std::sig_atomic_t stop_flag = 0;

void on_signal(int number) {
  if (stop_flag) std::_Exit(128 + number);
  stop_flag = 1;
}

}  // namespace

void watch_signals() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pager must not end a run
}

bool stop_requested() {
  return stop_flag != 0;
}

}  // namespace thalweg::cli
