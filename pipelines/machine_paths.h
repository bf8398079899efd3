// What leaves the machine (exported weights, report, result) names files, not where they lie.
#pragma once

#include <string>

#include "engine/core/json.h"

namespace thalweg {

/// "b" of "/a/b", "a/b/" or "b".
std::string last_component(const std::string& path);

/// The same JSON in which every text that is an absolute path is its last component.
Json without_machine_paths(Json json);

}  // namespace thalweg
