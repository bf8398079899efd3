#include "rewards/kept_state.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <string_view>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace thalweg {
namespace {

constexpr int kSignals = 65, kFirstPrivate = 3;  // after the three descriptors that every program has

struct Handlers {
  std::array<struct sigaction, kSignals> kept{};
  std::array<std::atomic<bool>, kSignals> is_kept{};
};

Handlers& handlers() {
  static auto* all = new Handlers;
  return *all;
}

bool same_handler(const struct sigaction& a, const struct sigaction& b) {
  return (a.sa_flags & SA_SIGINFO) == (b.sa_flags & SA_SIGINFO) && a.sa_handler == b.sa_handler;
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_mode == b.st_mode;
}

struct Place {
  struct stat file {};
  int copy = -1;  // a descriptor of our own; -1: was not open, and is not kept
};

/// As it was when the program began.
struct Process {
  Place folder;
  std::array<char, PATH_MAX> folder_path{};  // "": too long for it
  std::array<Place, 3> standard;
  mode_t mask;
  LocaleNames locale;

  Process() {
    folder.copy = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder.copy >= 0 && ::fstat(folder.copy, &folder.file) != 0) folder.copy = -1;
    if (::getcwd(folder_path.data(), folder_path.size()) == nullptr) folder_path[0] = '\0';
    for (int i = 0; i < 3; ++i) {
      auto& place = standard[static_cast<size_t>(i)];
      if (::fstat(i, &place.file) == 0) place.copy = ::fcntl(i, F_DUPFD_CLOEXEC, kFirstPrivate);
    }
    mask = static_cast<mode_t>(creation_mask());
    locale = locale_names();
  }
};

std::atomic<const Process*> kept_process{nullptr};

/// A path is asked for in a quarter of the time that a file's identity takes; a folder may be renamed,
/// though.
void put_back_folder(const Process& process, std::vector<std::string>& changed) {
  const auto& folder = process.folder;
  char path[PATH_MAX];
  if (folder.copy < 0 ||
      (::getcwd(path, sizeof path) != nullptr && process.folder_path.data() == std::string_view(path)))
    return;
  struct stat now {};
  if (::stat(".", &now) == 0 && same_file(now, folder.file)) return;
  if (::fchdir(folder.copy) == 0) changed.emplace_back("the working folder");
}

void put_back_descriptors(const std::array<Place, 3>& standard, std::vector<std::string>& changed) {
  static constexpr std::array kNames = {"standard input", "standard output", "standard error"};
  for (int i = 0; i < 3; ++i) {
    const auto& place = standard[static_cast<size_t>(i)];
    struct stat now {};
    if (place.copy < 0 || (::fstat(i, &now) == 0 && same_file(now, place.file))) continue;
    if (::dup2(place.copy, i) == i) changed.emplace_back(kNames[static_cast<size_t>(i)]);
  }
}

void put_back_locale(const Process& process, std::vector<std::string>& changed) {
  bool other = ::uselocale(LC_GLOBAL_LOCALE) != LC_GLOBAL_LOCALE;
  for (size_t i = 0; i < kKeptCategories.size(); ++i) {
    const char* now = std::setlocale(kKeptCategories[i], nullptr);
    if (now != nullptr && process.locale[i] == now) continue;
    std::setlocale(kKeptCategories[i], process.locale[i].c_str());
    other = true;
  }
  if (other) changed.emplace_back("the locale");
}

void put_back_handlers(std::vector<std::string>& changed) {
  auto& all = handlers();
  for (int number = 1; number < kSignals; ++number) {
    const auto i = static_cast<size_t>(number);
    struct sigaction now {};
    if (!all.is_kept[i] || ::sigaction(number, nullptr, &now) != 0 || same_handler(now, all.kept[i]))
      continue;
    if (::sigaction(number, &all.kept[i], nullptr) == 0)
      changed.push_back(std::string("the handler of SIG") + ::sigabbrev_np(number));
  }
}

}  // namespace

LocaleNames locale_names() {
  LocaleNames names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = std::setlocale(kKeptCategories[i], nullptr);
  return names;
}

unsigned creation_mask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

unsigned floating_point_modes() {
#if defined(__x86_64__)
  unsigned short x87 = 0;
  __asm__ volatile("fnstcw %0" : "=m"(x87));
  return (_mm_getcsr() & 0xFFC0U) << 16 | x87;
#else
  return static_cast<unsigned>(std::fegetround());
#endif
}

void keep_process_state() {
  if (kept_process == nullptr) kept_process = new Process;
}

void keep_signal_handler(int number) {
  auto& all = handlers();
  const auto i = static_cast<size_t>(number);
  if (number < 1 || number >= kSignals || all.is_kept[i]) return;
  all.is_kept[i] = ::sigaction(number, nullptr, &all.kept[i]) == 0;
}

KeptState::KeptState() : modes_(floating_point_modes()) {
  std::fegetenv(&floating_point_);
}

std::vector<std::string> KeptState::put_back() const {
  std::vector<std::string> changed;
  if (floating_point_modes() != modes_) {
    std::fesetenv(&floating_point_);
    changed.emplace_back("the rounding, denormal or trap mode");
  }
  put_back_handlers(changed);
  const Process* const process = kept_process;
  if (process == nullptr) return changed;
  put_back_folder(*process, changed);
  put_back_descriptors(process->standard, changed);
  if (::umask(process->mask) != process->mask) changed.emplace_back("the umask");
  put_back_locale(*process, changed);
  return changed;
}

}  // namespace thalweg
