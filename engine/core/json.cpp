#include "engine/core/json.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"

namespace thalweg {
namespace {

/// A parser's message quotes what it read: that may be long, and bytes of any kind.
std::string shown_text(std::string text) {
  constexpr size_t kMost = 300;
  if (text.size() > kMost) text.replace(kMost, std::string::npos, "...");
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& place) {
  std::vector<std::set<std::string>> keys_by_depth;
  auto guard = [&](int depth, Json::parse_event_t event, Json& parsed) {
    // An object or list is reported with the number of levels around it.
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && static_cast<size_t>(depth) >= kMaxJsonDepth)
      throw Error(place, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
    if (event == Json::parse_event_t::object_start) {
      keys_by_depth.resize(static_cast<size_t>(depth) + 1);
      keys_by_depth.back().clear();
    } else if (event == Json::parse_event_t::key) {
      // A key is reported one level below its object's start.
      auto& keys = keys_by_depth.at(static_cast<size_t>(depth) - 1);
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.insert(key).second) throw Error(place, "the key \"" + key + "\" is given twice");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), guard);
  } catch (const nlohmann::json::exception& e) {
    throw Error(place, "not valid JSON: " + shown_text(e.what()));
  }
}

std::string read_file(const std::filesystem::path& path, size_t max_bytes) {
  std::error_code ec;
  if (!std::filesystem::is_regular_file(path, ec))
    throw Error(path.string(), "no such file (paths are relative to the working directory)");
  const auto size = std::filesystem::file_size(path, ec);
  if (ec || size > max_bytes)
    throw Error(path.string(), "is larger than the " + std::to_string(max_bytes) + " bytes allowed here");
  std::ifstream in(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!in.read(bytes.data(), static_cast<std::streamsize>(size)))
    throw Error(path.string(), std::string("cannot be read: ") + std::strerror(errno));
  return bytes;
}

Json parse_json_file(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_file(path, max_bytes), path.string());
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  PendingFile file(path);
  file.write(bytes);
  file.publish();
}

}  // namespace thalweg
