#include "engine/sandbox/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "engine/core/descriptor.h"

namespace thalweg {
namespace {

// Later than the header of Debian 12.
constexpr uint64_t kTruncate = uint64_t{1} << 14;
constexpr uint64_t kScopeAbstractSockets = 1, kScopeSignals = 2;
constexpr int kHasRefer = 2, kHasTruncate = 3, kHasScopes = 6;

// landlock_ruleset_attr as of version 6; an older kernel takes it where what it does not know is 0.
struct RulesetAttributes {
  uint64_t files = 0, network = 0, scoped = 0;
};

constexpr uint64_t kReadFile = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kRead = kReadFile | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kWriteFile = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
constexpr uint64_t kWrite = kWriteFile | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                            LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                            LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                            LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |
                            LANDLOCK_ACCESS_FS_REFER;
constexpr uint64_t kDevice = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr uint64_t kAll = kRead | kWrite | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

std::string reason() {
  return std::generic_category().message(errno);
}

uint64_t known(int version) {
  uint64_t rights = kAll;
  if (version < kHasRefer) rights &= ~uint64_t{LANDLOCK_ACCESS_FS_REFER};
  if (version < kHasTruncate) rights &= ~kTruncate;
  return rights;
}

// A rule for a file must not have the rights of folders.
void allow(int ruleset, const std::filesystem::path& path, uint64_t rights, uint64_t of_a_file) {
  const Descriptor place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (place.get() < 0 || ::fstat(place.get(), &status) != 0) return;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = S_ISDIR(status.st_mode) ? rights : rights & of_a_file;
  if (rule.allowed_access == 0) return;
  rule.parent_fd = place.get();
  ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

}  // namespace

int landlock_version(std::string* why) {
  const auto version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version > 0) return static_cast<int>(version);
  if (why != nullptr) *why = reason();
  return 0;
}

std::string keep_to(const ReachedFiles& files) {
  std::string why;
  const int version = landlock_version(&why);
  if (version == 0) return why;
  const auto rights = known(version);
  RulesetAttributes attributes{.files = rights};
  if (version >= kHasScopes) attributes.scoped = kScopeAbstractSockets | kScopeSignals;
  const Descriptor ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0)));
  if (ruleset.get() < 0) return reason();
  // A path of which there can be no rule (a pipe) stays out of reach, and the others are held to all the
  // same.
  const auto add = [&](const auto& paths, uint64_t folder, uint64_t file) {
    for (const auto& path : paths) allow(ruleset.get(), path, folder & rights, file & rights);
  };
  add(files.read, kRead, kReadFile);
  add(files.write, kWrite, kWriteFile);
  add(files.list, LANDLOCK_ACCESS_FS_READ_DIR, 0);
  add(files.devices, kDevice, kDevice);
  return ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0 ? "" : reason();
}

}  // namespace thalweg
