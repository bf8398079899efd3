#include "pipelines/service/jobs/inputs.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "engine/core/file.h"
#include "engine/core/path.h"
#include "pipelines/service/http/message.h"

namespace thalweg::service {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kFile = "file-";

std::string linked(const fs::path& from, const fs::path& to) {
  fs::create_directories(to.parent_path());
  if (::link(from.c_str(), to.c_str()) != 0 && errno != EEXIST) throw_io_error(to, "cannot be made", errno);
  return to;
}

std::string placed(Store& store, const std::string& id, const fs::path& folder, const std::string& pointer) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().stem() == id) return entry.path();  // the file itself may be removed by now
  const auto row = find_file(store.read(), id);
  if (!row) throw ApiError(400, "no_such_file", "there is no file \"" + id + "\"", pointer);
  return linked(store.file_path(row->sha256), folder / (id + lower_ending(row->filename)));
}

void place(Json& value, Store& store, const fs::path& folder, const std::string& pointer) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.starts_with(kFile) && text.size() == kFile.size() + 24)
      value = placed(store, text, folder, pointer);
  } else if (value.is_structured()) {
    for (const auto& [key, inner] : value.items()) place(inner, store, folder, pointer + "/" + key);
  }
}

void place_libraries(Json& job, Store& store, const fs::path& folder) {
  if (!job.contains("rewards") || !job.at("rewards").is_array()) return;
  for (auto& reward : job.at("rewards")) {
    if (!reward.is_object() || !reward.contains("plugin") || !reward.at("plugin").is_string()) continue;
    const auto& name = reward.at("plugin").get_ref<const std::string&>();
    if (name.find('/') != std::string::npos) continue;
    const auto own = folder / (name + ".so");
    if (fs::exists(own)) {
      reward["plugin"] = own;  // it may be unloaded by now
    } else if (const auto library = store.loaded_plugin(name)) {
      reward["plugin"] = linked(*library, own);
    }
  }
}

}  // namespace

Json with_inputs(const Json& job, Store& store, const fs::path& folder) {
  Json bound = job;
  place(bound, store, folder, "");
  place_libraries(bound, store, folder);
  return bound;
}

}  // namespace thalweg::service
