#include "plugins/validator/process_state.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cfenv>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/core/jemalloc.h"

extern char** environ;

namespace thalweg::validator {
namespace {

constexpr unsigned kSeed = 20231;

std::vector<std::string> environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

std::string current_folder() {
  std::error_code failure;
  return std::filesystem::current_path(failure).string();
}

void seed_random() {
  std::srand(kSeed);
  ::srand48(kSeed);
}

/// The next numbers of the known state.
std::pair<int, long> next_random() {
  return {std::rand(), ::lrand48()};
}

int64_t entries(const char* folder) {
  int64_t count = 0;
  std::error_code failure;
  for (std::filesystem::directory_iterator it(folder, failure), end; !failure && it != end;
       it.increment(failure))
    ++count;
  return count;
}

int64_t heap_in_use() {
  if (::mallctl != nullptr) {  // it has taken the C library's place and alone knows what is in use
    uint64_t epoch = 1;
    size_t bytes = 0, size = sizeof(epoch);
    ::mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0);
    ::mallctl("epoch", &epoch, &size, &epoch, size);
    size = sizeof(bytes);
    if (::mallctl("stats.allocated", &bytes, &size, nullptr, 0) == 0) return static_cast<int64_t>(bytes);
  }
  const auto heap = ::mallinfo2();
  return static_cast<int64_t>(heap.uordblks + heap.hblkhd);
}

/// Device, inode and kind of what a descriptor leads to; zeros when it is closed.
std::array<uint64_t, 3> led_to(int descriptor) {
  struct stat file {};
  if (::fstat(descriptor, &file) != 0) return {};
  return {file.st_dev, file.st_ino, file.st_mode};
}

/// Of 0 to 2, as they were at the first call.
const std::array<int, 3>& standard_copies() {
  static const std::array copies = {::fcntl(0, F_DUPFD_CLOEXEC, 3), ::fcntl(1, F_DUPFD_CLOEXEC, 3),
                                    ::fcntl(2, F_DUPFD_CLOEXEC, 3)};
  return copies;
}

int64_t mapped() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

bool same_handler(const struct sigaction& a, const struct sigaction& b) {
  return a.sa_flags == b.sa_flags &&
         ((a.sa_flags & SA_SIGINFO) != 0 ? a.sa_sigaction == b.sa_sigaction : a.sa_handler == b.sa_handler);
}

}  // namespace

ProcessState ProcessState::now() {
  ProcessState state;
  state.folder_ = current_folder();
  standard_copies();
  for (int i = 0; i < 3; ++i) state.standard_[static_cast<size_t>(i)] = led_to(i);
  state.locale_ = locale_names();
  state.environment_ = environment();
  for (int number = 1; number < 65; ++number)
    ::sigaction(number, nullptr, &state.handlers_[static_cast<size_t>(number)]);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &state.blocked_);
  state.mask_ = creation_mask();
  state.rounding_ = std::fegetround();
  state.modes_ = floating_point_modes();
  seed_random();
  return state;
}

std::vector<std::pair<std::string, std::string>> ProcessState::changes() const {
  std::vector<std::pair<std::string, std::string>> found;
  if (current_folder() != folder_) {
    found.emplace_back("manners.environment", "the working folder was changed");
    if (::chdir(folder_.c_str()) != 0) found.back().second += " for good";
  }
  for (int i = 0; i < 3; ++i) {
    const auto at = static_cast<size_t>(i);
    if (led_to(i) == standard_[at]) continue;
    found.emplace_back("manners.environment",
                       "the standard descriptor " + std::to_string(i) + " was closed or replaced");
    ::dup2(standard_copies()[at], i);
  }
  if (locale_ != locale_names()) {
    found.emplace_back("manners.environment", "the locale was changed");
    for (size_t i = 0; i < locale_.size(); ++i) std::setlocale(kKeptCategories[i], locale_[i].c_str());
  }
  if (environment() != environment_)
    found.emplace_back("manners.environment", "an environment variable was changed");
  if (creation_mask() != mask_) {
    found.emplace_back("manners.environment", "the umask was changed");
    ::umask(static_cast<mode_t>(mask_));
  }
  for (int number = 1; number < 65; ++number) {
    struct sigaction handler {};
    const auto& before = handlers_[static_cast<size_t>(number)];
    if (::sigaction(number, nullptr, &handler) != 0 || same_handler(handler, before)) continue;
    found.emplace_back("manners.signals", "the handler of signal " + std::to_string(number) + " was changed");
    ::sigaction(number, &before, nullptr);
  }
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, &blocked_, &blocked);
  for (int number = 1; number < 65; ++number)
    if (::sigismember(&blocked, number) != ::sigismember(&blocked_, number))
      found.emplace_back("manners.signals", "signal " + std::to_string(number) + " was blocked or unblocked");
  if (std::fegetround() != rounding_ || floating_point_modes() != modes_) {
    found.emplace_back("manners.floating-point", "the rounding, denormal or trap mode was changed");
    std::fesetenv(FE_DFL_ENV);
  }
  const auto random = next_random();
  seed_random();
  if (random != next_random())
    found.emplace_back("manners.random-state", "rand, random or drand48 was used or seeded");
  return found;
}

Resources Resources::now() {
  return {entries("/proc/self/fd"), entries("/proc/self/task"), heap_in_use(), mapped()};
}

}  // namespace thalweg::validator
