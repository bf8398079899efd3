// The folder of a run, as clients see it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg::service {

/// A file of a run: its path below the run's folder.
struct RunFile {
  std::string path;
  uint64_t bytes = 0;
  std::string type;  ///< of its content, by its name's ending
};

/// What a client may want: no file that is being written (NAME.tmp), no link. In the order of their names,
/// numbers by value; at most `most`.
std::vector<RunFile> run_files(const std::filesystem::path& folder, size_t most);

/// "image/png" of "a.png"; what is not known is application/octet-stream.
std::string content_type(const std::string& path);

/// A checkpoint: its step, and what its manifest says of its files.
struct RunCheckpoint {
  int64_t step = 0;
  std::vector<Json> files = {};  ///< path, bytes, sha256
};
std::vector<RunCheckpoint> run_checkpoints(const std::filesystem::path& folder);

}  // namespace thalweg::service
