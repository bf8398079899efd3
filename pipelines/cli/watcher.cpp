#include "pipelines/cli/watcher.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>

#include "engine/core/endings.h"
#include "engine/core/file.h"
#include "pipelines/cli/exit_codes.h"
#include "pipelines/run/folder_lock.h"
#include "rewards/running_calls.h"

namespace thalweg::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kSayAfter = 2.0;  // seconds until the user hears what is waited for
constexpr timespec kLook{0, 100'000'000};

void say(const std::string& text) {
  // A progress bar may stand in the line.
  std::cerr << (::isatty(STDERR_FILENO) == 1 ? "\n" : "") << "thalweg: " << text << std::endl;
}

}  // namespace

sigset_t Watcher::signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2, SIGCHLD})
    ::sigaddset(&set, number);
  return set;
}

Watcher::Watcher(WatchPage& page, pid_t worker, double grace_s)
    : page_(page), worker_(worker), grace_s_(grace_s) {
  struct sigaction hang_up {};
  ignores_hang_up_ = ::sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler == SIG_IGN;
}

fs::path Watcher::result_file() const {
  return fs::path(page_.folder) / "result.json";
}

/// Whatever fails here, the worker's end is told.
int Watcher::until_end() {
  try {
    return watch();
  } catch (const std::exception& e) {
    ::kill(worker_, SIGKILL);
    say(std::string("watching the program failed: ") + e.what());
    return kFailed;
  }
}

int Watcher::watch() {
  const sigset_t wanted = signals();
  while (!has_ended()) {
    const int number = asked_ && killed_by_ == 0 ? ::sigtimedwait(&wanted, nullptr, &kLook)
                                                 : ::sigwaitinfo(&wanted, nullptr);
    if (number > 0) note(number);
    if (asked_) look_at_calls();
  }
  return conclude();
}

bool Watcher::has_ended() {
  const pid_t ended = ::waitpid(worker_, &status_, WNOHANG);
  return ended == worker_ || (ended < 0 && errno != EINTR);
}

void Watcher::note(int number) {
  switch (number) {
    case SIGINT:
    case SIGTERM:
      return ask_to_stop(number);
    case SIGHUP:
      if (!ignores_hang_up_) ask_to_stop(number);
      return;
    case SIGTSTP:
      return suspend();
    case SIGCHLD:
      return;
    default:
      ::kill(worker_, number);
  }
}

// A terminal that closes may tell so twice.
void Watcher::ask_to_stop(int number) {
  if (asked_ && number == SIGHUP) return;
  if (asked_ || !page_.begun) {
    killed_by_ = number;
    ::kill(worker_, SIGKILL);  // nothing that a plugin can catch; what is on the disk is whole
    return;
  }
  asked_ = Clock::now();
  page_.asked = 1;
  std::cerr << "\nstopping, as soon as what is done is kept (once more: stop at once)" << std::endl;
}

// The worker has a process group of its own, which no terminal stops.
void Watcher::suspend() {
  const auto before = Clock::now();
  ::kill(worker_, SIGSTOP);
  ::signal(SIGTSTP, SIG_DFL);
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);  // stops here
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ::kill(worker_, SIGCONT);
  if (asked_) *asked_ += Clock::now() - before;
}

void Watcher::look_at_calls() {
  if (killed_by_ != 0 || given_up_) return;
  const double since_asked = std::chrono::duration<double>(Clock::now() - *asked_).count();
  for (const auto& call : running_calls()) {
    const double waited = std::min(call.seconds, since_asked);
    const auto name = "the reward \"" + call.plugin + "\" has not returned from " + call.function;
    if (waited >= grace_s_) {
      say(name + " for " + in_seconds(call.seconds) + "; the run is stopped without it");
      given_up_ = true;
      ::kill(worker_, SIGKILL);
      return;
    }
    if (waited >= kSayAfter && !said_) {
      say(name + "; if it does not in " + in_seconds(grace_s_ - waited) + ", the run is stopped without it");
      said_ = true;
    }
  }
}

/// Why the worker ended, as far as one can see from outside.
std::string Watcher::cause() const {
  const auto calls = described(running_calls());
  const auto where = calls.empty() ? ", while no reward was being called" : ", while " + calls;
  if (!WIFSIGNALED(status_))
    return "the program was ended in the middle of its work (exit code " +
           std::to_string(WEXITSTATUS(status_)) + ")" + where;
  const int number = WTERMSIG(status_);
  const auto kill = number != SIGKILL
                        ? ""
                        : "; without memory the system kills what takes most: `thalweg plan` says what a job "
                          "needs and which setting to change";
  return "the program died of " + signal_name(number) + where + kill;
}

/// Of this run.
bool Watcher::has_result() const {
  const auto now = FileMark::of(result_file());
  return now != FileMark{} && now != page_.earlier;
}

void Watcher::write(const Json& result) {
  if (!page_.begun) return;
  try {
    const FolderLock lock(page_.folder);  // the next run may have it already
    if (!has_result()) write_synced(result_file(), result.dump(2) + "\n");
  } catch (const std::exception& e) {
    say(e.what());
  }
}

/// What the worker wrote as its result, before it ended in whatever way; "" when it wrote none.
std::string Watcher::written_status() const {
  try {
    return page_.begun && has_result() ? parse_json_file(result_file()).value("status", std::string()) : "";
  } catch (const std::exception&) {
    return "";
  }
}

/// The exit code of a worker that did not tell it. What it wrote on the disk holds.
int Watcher::without_a_word() {
  const auto status = written_status();
  const bool killed = killed_by_ != 0 || given_up_;
  if (!killed) say((status == "succeeded" ? "warn: the result is whole, but then " : "") + cause());
  if (status == "succeeded") return kDone;
  if (status == "stopped" || (status.empty() && killed)) {
    write({{"status", "stopped"}});
    return killed_by_ != 0 ? 128 + killed_by_ : static_cast<int>(kStopped);
  }
  write({{"status", "failed"}, {"error", {{"param", ""}, {"message", cause()}}}});
  return kFailed;
}

int Watcher::conclude() {
  page_.folder[sizeof page_.folder - 1] = '\0';
  const int code = page_.end;
  const bool is_told = code >= 0 && (code != kDone || !page_.begun || has_result());
  if (!is_told && killed_by_ != 0 && !page_.begun) {  // nothing was to be kept: as if there were no watcher
    ::signal(killed_by_, SIG_DFL);
    ::raise(killed_by_);
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
  }
  if (!is_told) return without_a_word();
  if (WIFSIGNALED(status_) && killed_by_ == 0) say("warn: at its very end " + cause());
  if (code > 128) write({{"status", "stopped"}});
  return code;
}

}  // namespace thalweg::cli
