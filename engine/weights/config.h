// Values of a component's config.json. Files come from outside: each value is checked for type and bounds,
// and an Error names file and key. A key that is absent or null gives `fallback`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

/// Bounds are inclusive.
int64_t config_integer(const Json& config, const std::string& key, int64_t fallback, int64_t low,
                       int64_t high, const std::filesystem::path& path);
double config_number(const Json& config, const std::string& key, double fallback, double low, double high,
                     const std::filesystem::path& path);
bool config_bool(const Json& config, const std::string& key, bool fallback,
                 const std::filesystem::path& path);
std::string config_text(const Json& config, const std::string& key, const std::string& fallback,
                        const std::filesystem::path& path);

/// Lists of 1 to `max_size` elements, each within the bounds. `under` stands before the key in messages, for
/// an object inside of the config; numbers have no fallback: an absent list is an Error.
std::vector<int64_t> config_integers(const Json& config, const std::string& key,
                                     const std::vector<int64_t>& fallback, int64_t low, int64_t high,
                                     size_t max_size, const std::filesystem::path& path);
std::vector<double> config_numbers(const Json& config, const std::string& key, double low, double high,
                                   size_t max_size, const std::filesystem::path& path,
                                   const std::string& under = "");
std::vector<std::string> config_texts(const Json& config, const std::string& key,
                                      const std::vector<std::string>& fallback, size_t max_size,
                                      const std::filesystem::path& path);

}  // namespace thalweg
