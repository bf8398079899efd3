// A folder for a while.
#pragma once

#include <filesystem>
#include <string>

namespace thalweg {

/// A fresh folder for this process alone, under a name that begins with `name` and that nobody can foresee,
/// in the system's folder for temporary files; removed with all it holds. Throws IoError.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& name);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace thalweg
