#include "pipelines/service/jobs/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace thalweg::service {
namespace {

Descriptor open_in(const std::filesystem::path& folder, const std::string& path, uint64_t flags,
                   uint64_t resolve) {
  const Descriptor base(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (base.get() < 0) return Descriptor();
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve;
  return Descriptor(static_cast<int>(::syscall(SYS_openat2, base.get(), path.c_str(), &how, sizeof how)));
}

}  // namespace

Beneath look_beneath(const std::filesystem::path& folder, const std::string& path) {
  const auto found = open_in(folder, path, O_PATH, 0);
  if (found.get() >= 0) return Beneath::inside;
  return errno == EXDEV || errno == ELOOP ? Beneath::outside : Beneath::absent;
}

std::shared_ptr<const Descriptor> open_beneath(const std::filesystem::path& folder, const std::string& path) {
  // A FIFO would be waited for.
  auto file =
      std::make_shared<const Descriptor>(open_in(folder, path, O_RDONLY | O_NONBLOCK, RESOLVE_NO_SYMLINKS));
  struct stat status {};
  if (file->get() < 0 || ::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode)) return nullptr;
  return file;
}

}  // namespace thalweg::service
