#include "engine/core/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "engine/core/descriptor.h"
#include "engine/core/endings.h"
#include "engine/core/error.h"

extern char** environ;

namespace fs = std::filesystem;

namespace thalweg {
namespace {

// Descriptors below are given new meanings in the child, one after the other.
constexpr int kAbove = 16;

Descriptor moved_up(int descriptor, const std::string& program) {
  Descriptor high(::fcntl(descriptor, F_DUPFD_CLOEXEC, kAbove));
  if (high.get() < 0) throw IoError(program, "cannot be run: " + std::generic_category().message(errno));
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

void describe(SpawnSettings& s, const std::vector<GivenDescriptor>& given) {
  ::posix_spawn_file_actions_addopen(&s.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&s.actions, 2, 1);
  int last = 2;
  for (const auto& [ours, theirs] : given) {
    ::posix_spawn_file_actions_adddup2(&s.actions, ours, theirs);
    last = std::max(last, theirs);
  }
  ::posix_spawn_file_actions_addclosefrom_np(&s.actions, last + 1);
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

std::optional<fs::path> program_beside(const std::string& name) {
  std::error_code failure;
  const auto here = fs::read_symlink("/proc/self/exe", failure).parent_path();
  for (const auto& folder : {here, here.parent_path()})
    if (const auto file = folder / name; fs::is_regular_file(file, failure)) return file;
  return std::nullopt;
}

Process::Process(const std::vector<std::string>& command, const std::vector<GivenDescriptor>& given) {
  std::vector<Descriptor> high;
  std::vector<GivenDescriptor> moved;
  for (const auto& [ours, theirs] : given) {
    high.push_back(moved_up(ours, command.front()));
    moved.push_back({high.back().get(), theirs});
  }
  SpawnSettings settings;
  describe(settings, moved);
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const int code =
      ::posix_spawnp(&id_, arguments[0], &settings.actions, &settings.attributes, arguments.data(), environ);
  if (code != 0) throw IoError(command.front(), "cannot be run: " + std::generic_category().message(code));
}

Process::~Process() {
  if (status_) return;
  ::kill(-id_, SIGKILL);
  end();
}

bool Process::has_ended(double seconds) {
  if (status_) return true;
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

std::string Process::end() {
  if (!has_ended(0.5)) {
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
