// What a job from outside may name: decided by its values, whatever their keys, so that no key is forgotten.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg::service {

/// What the operator allows.
struct Policy {
  std::filesystem::path root = {};     ///< relative paths of jobs begin here, and lead nowhere else
  std::set<std::string> plugins = {};  ///< names of rewards that jobs may use; empty: all that are installed
  std::set<std::string> hosts = {};    ///< "api.example.org" or "api.example.org:8443"
  bool python_rewards = false;         ///< rewards that are a function in Python below the root
  std::function<bool(const std::string& name)> is_loaded = [](const std::string&) {
    return false;
  };  ///< a reward that an operator loaded while the service runs
};

/// Throws ApiError (403) for a text of a job that no job may hold: as below.
void check_text(const std::string& pointer, const std::string& text, const Policy& policy);

/// Throws ApiError (403, with the JSON pointer) for a text that is an absolute path, leads out of the root,
/// names a link that does, or is a URL of a host that is not allowed; for a reward that is not admitted; for
/// a job that names a folder of its own for what it writes outside. Prompts are texts, and nothing else.
void check_admission(const Json& job, const Policy& policy);

}  // namespace thalweg::service
