#include "rewards/hosted/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "engine/core/endings.h"
#include "engine/core/error.h"

extern char** environ;

namespace thalweg {
namespace {

// Descriptors below are given new meanings in the child, one after the other.
constexpr int kAbove = 16;
constexpr double kPatience_s = 5.0;  // for one that was asked to end

Descriptor moved_up(int descriptor) {
  Descriptor high(::fcntl(descriptor, F_DUPFD_CLOEXEC, kAbove));
  if (high.get() < 0) throw IoError("a process for rewards", std::generic_category().message(errno));
  return high;
}

class SpawnSettings {
 public:
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

// A group of its own, so that Ctrl-C is the program's affair alone; nothing open but what it is given.
void describe(SpawnSettings& s, int socket, int memory) {
  ::posix_spawn_file_actions_addopen(&s.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&s.actions, 2, 1);
  ::posix_spawn_file_actions_adddup2(&s.actions, socket, ChildProcess::kSocket);
  ::posix_spawn_file_actions_adddup2(&s.actions, memory, ChildProcess::kMemory);
  ::posix_spawn_file_actions_addclosefrom_np(&s.actions, ChildProcess::kMemory + 1);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&s.attributes, &none);
  ::posix_spawnattr_setsigdefault(&s.attributes, &all);
  ::posix_spawnattr_setpgroup(&s.attributes, 0);
  ::posix_spawnattr_setflags(&s.attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

std::string described(int status) {
  if (WIFSIGNALED(status)) return "died of " + signal_name(WTERMSIG(status));
  return "ended by itself with exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const SharedMemory& memory,
                           double memory_bytes) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw IoError("a process for rewards", std::generic_category().message(errno));
  wire_.emplace(Descriptor(ends[0]));
  const Descriptor theirs(ends[1]);
  const auto socket = moved_up(theirs.get()), shared = moved_up(memory.descriptor());
  SpawnSettings settings;
  describe(settings, socket.get(), shared.get());
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const int code =
      ::posix_spawnp(&id_, arguments[0], &settings.actions, &settings.attributes, arguments.data(), environ);
  if (code != 0) throw IoError(command.front(), "cannot be run: " + std::generic_category().message(code));
  if (memory_bytes > 0.0) {
    const auto bytes = static_cast<rlim_t>(memory_bytes);
    const rlimit limit{bytes, bytes};
    ::prlimit(id_, RLIMIT_DATA, &limit, nullptr);
  }
}

ChildProcess::~ChildProcess() {
  if (status_) return;
  try {
    wire_->send({{"op", "close"}});
  } catch (const WireBroken&) {  // it is gone already
  }
  if (!has_ended(kPatience_s)) end();
}

bool ChildProcess::has_ended(double seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (;;) {
    int status = 0;
    const auto found = ::waitpid(id_, &status, WNOHANG);
    if (found == id_ || (found < 0 && errno == ECHILD)) {
      status_ = status;
      return true;
    }
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

std::string ChildProcess::end() {
  // One whose end of the line is closed is dying: its own reason is what is told.
  if (!status_ && !has_ended(0.5)) {
    ::kill(-id_, SIGKILL);
    ::kill(id_, SIGKILL);
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
  }
  return described(*status_);
}

}  // namespace thalweg
