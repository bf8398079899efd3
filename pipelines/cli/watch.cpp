#include "pipelines/cli/watch.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "engine/core/error.h"
#include "pipelines/cli/exit_codes.h"
#include "pipelines/cli/watcher.h"
#include "rewards/running_calls.h"

namespace thalweg::cli {
namespace {

namespace fs = std::filesystem;

constexpr double kGraceSeconds = 30.0, kMostGraceSeconds = 86400.0;

WatchPage* page = nullptr;

/// Of the environment, or the default.
double grace_seconds() {
  constexpr const char* kName = "THALWEG_GRACE_SECONDS";
  const char* text = std::getenv(kName);
  if (text == nullptr) return kGraceSeconds;
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(seconds >= 0.0 && seconds <= kMostGraceSeconds))
    throw Error(kName, "must be seconds, from 0 to a day, not \"" + std::string(text) + "\"");
  return seconds;
}

/// In the child: it dies with its parent, and no terminal sends it signals, so that none counts twice.
void become_worker(pid_t parent) {
  ::setpgid(0, 0);
  ::signal(SIGTTOU, SIG_IGN);  // it may write to a terminal all the same
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(kFailed);
}

}  // namespace

int watched(const std::function<int()>& work) {
  const double grace_s = grace_seconds();
  void* memory =
      ::mmap(nullptr, sizeof(WatchPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return work();
  page = new (memory) WatchPage;
  share_running_calls();
  const auto signals = Watcher::signals();
  sigset_t before;
  ::signal(SIGCHLD, SIG_DFL);
  ::pthread_sigmask(SIG_BLOCK, &signals, &before);
  const pid_t parent = ::getpid(), worker = ::fork();
  if (worker < 0) {
    page = nullptr;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return work();
  }
  if (worker > 0) return Watcher(*page, worker, grace_s).until_end();
  become_worker(parent);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const int code = work();
  tell_end(code);
  return code;
}

void tell_begun(const fs::path& folder) {
  if (page == nullptr || folder.native().size() >= sizeof page->folder) return;
  std::memcpy(page->folder, folder.c_str(), folder.native().size() + 1);
  page->earlier = FileMark::of(folder / "result.json");
  page->begun = true;
}

void tell_end(int code) {
  if (page != nullptr) page->end = code;
}

bool wants_watcher() {
  const char* text = std::getenv("THALWEG_UNWATCHED");
  return text == nullptr || std::string(text) != "1";
}

bool is_watched() {
  return page != nullptr;
}

bool stop_was_asked() {
  return page != nullptr && page->asked != 0;
}

}  // namespace thalweg::cli
