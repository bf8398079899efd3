// JSON from outside: capped in size and depth, duplicate keys refused.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace thalweg {

/// Keys keep the order in which they were written, so a resolved job reads like the job.
using Json = nlohmann::ordered_json;

inline constexpr size_t kMaxJsonDepth = 64;
inline constexpr size_t kMaxJsonBytes = size_t{64} << 20;

/// Parses `text`; `place` names it in errors (a path or "--set"). Throws Error for syntax, depth > 64,
/// duplicate keys, invalid UTF-8 and a byte order mark. Time grows with the text's length alone.
Json parse_json(std::string_view text, const std::string& place);

/// The same with the keys sorted, for objects in which thousands of keys are looked up (a vocabulary).
nlohmann::json parse_sorted_json(std::string_view text, const std::string& place);

/// Reads and parses a file. Throws Error naming the path when it is absent, too large or not JSON.
Json parse_json_file(const std::filesystem::path& path, size_t max_bytes = kMaxJsonBytes);

/// Whole file as bytes. Throws Error naming the path; a folder, FIFO or device is refused, not waited for.
std::string read_file(const std::filesystem::path& path, size_t max_bytes = kMaxJsonBytes);

/// Replaces `path` by `bytes` through a temporary file and rename: a kill leaves the old file or the new one
/// (see write_synced in file.h for power cuts). Throws IoError naming the path.
void write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace thalweg
