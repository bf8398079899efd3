// `thalweg plugins`: what is found, or why it cannot be used.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/core/json.h"

namespace thalweg::cli {

/// All that are found in the installation's own folders and these, usable or not, with the reason.
Json plugins_json(const std::vector<std::filesystem::path>& folders = {});
void print_plugins(bool as_json);

}  // namespace thalweg::cli
