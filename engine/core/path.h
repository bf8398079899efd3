// Questions about paths.
#pragma once

#include <filesystem>
#include <string>

namespace thalweg {

/// The ending of a file's name with its point, A to Z as a to z: ".png" of "A.PNG"; empty: it has none.
std::string lower_ending(const std::filesystem::path& path);

/// Whether `path` is `folder` or something below it, links followed as far as there are such files.
bool lies_in(const std::filesystem::path& folder, const std::filesystem::path& path);

}  // namespace thalweg
