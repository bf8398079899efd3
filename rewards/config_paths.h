// The files and folders that a reward's own configuration names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

struct ConfigPath {
  std::string pointer;  // of the text, in the job
  std::filesystem::path path;
};

/// Texts of existing paths that hold a '/', name a file with an ending, or stand under a key such as "model"
/// or "path". `pointer`: of `config` in the job.
std::vector<ConfigPath> paths_in(const Json& config, const std::string& pointer);

}  // namespace thalweg
