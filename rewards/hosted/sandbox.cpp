#include "rewards/hosted/sandbox.h"

#include <cstdlib>
#include <system_error>

#include "engine/core/path.h"

namespace fs = std::filesystem;

namespace thalweg {

Json to_json(const Sandbox& s) {
  return {{"network", s.network},   {"gpu", s.gpu},       {"readable", s.readable},
          {"writable", s.writable}, {"listed", s.listed}, {"temporary", s.temporary}};
}

Sandbox sandbox_from(const Json& json) {
  Sandbox s;
  json.at("network").get_to(s.network);
  json.at("gpu").get_to(s.gpu);
  json.at("readable").get_to(s.readable);
  json.at("writable").get_to(s.writable);
  json.at("listed").get_to(s.listed);
  json.at("temporary").get_to(s.temporary);
  return s;
}

bool holds_home(const fs::path& folder) {
  const char* home = std::getenv("HOME");
  return lies_in(folder, home != nullptr && *home != '\0' ? home : "/");
}

void add_own_places(const fs::path& file, Sandbox& sandbox) {
  std::error_code failure;
  sandbox.readable.push_back(file.string());
  // Where it is a link, its own libraries lie beside what it leads to.
  for (const auto& each : {fs::absolute(file, failure), fs::canonical(file, failure)}) {
    const auto folder = each.parent_path();
    if (folder.empty()) continue;
    if (!holds_home(folder)) {
      sandbox.readable.push_back(folder.string());
      continue;
    }
    sandbox.listed.push_back(folder.string());  // an import looks there for names
    for (fs::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure))
      if (it->path().extension() == file.extension()) sandbox.readable.push_back(it->path().string());
  }
}

std::vector<std::string> named_places(const fs::path& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure) && holds_home(path)) return {};
  std::vector<std::string> places = {path.string()};
  // models--NAME/snapshots/REVISION/... is made of links into models--NAME/blobs.
  for (auto folder = fs::absolute(path, failure); folder.has_relative_path(); folder = folder.parent_path())
    if (folder.filename() == "snapshots" && fs::is_directory(folder.parent_path() / "blobs", failure))
      places.push_back((folder.parent_path() / "blobs").string());
  return places;
}

}  // namespace thalweg
