#include "engine/core/scratch_folder.h"

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "engine/core/file.h"

namespace thalweg {

ScratchFolder::ScratchFolder(const std::string& name) {
  auto path = (std::filesystem::temp_directory_path() / (name + "-XXXXXX")).string();
  if (::mkdtemp(path.data()) == nullptr) throw_io_error(path, "cannot be created", errno);
  path_ = path;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ec;
  std::filesystem::remove_all(path_, ec);
}

}  // namespace thalweg
