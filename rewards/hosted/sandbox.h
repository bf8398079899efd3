// What a process for rewards is held to. The program says it here; thalweg-reward-host keeps to it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

/// What it may reach beside the system's own libraries and data.
struct Sandbox {
  bool network = false;
  bool gpu = false;
  std::vector<std::string> readable = {};  // files, and folders with all below them
  std::vector<std::string> writable = {};
  std::vector<std::string> listed = {};  // folders whose names it sees, and of those below, not their files
  std::string temporary = {};            // a folder of its own, to read and write
};
Json to_json(const Sandbox& sandbox);
/// Throws Json::exception.
Sandbox sandbox_from(const Json& json);

/// Whether the user's home folder is this one or lies below it: then being inside says nothing of a file.
bool holds_home(const std::filesystem::path& folder);

/// Adds what a library or script reads without being told: its folder, or, where that holds the user's home,
/// the files beside it with the same ending.
void add_own_places(const std::filesystem::path& file, Sandbox& sandbox);

/// A path that the configuration names, as it is to be reached: a snapshot of a cache of Hugging Face with
/// the files that its links lead to; nothing of a folder that holds the user's home, which has to be named
/// apart.
std::vector<std::string> named_places(const std::filesystem::path& path);

}  // namespace thalweg
