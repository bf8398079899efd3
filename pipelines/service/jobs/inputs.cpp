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

std::string placed(Store& store, const std::string& id, const fs::path& folder, const std::string& pointer) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().stem() == id) return entry.path();  // the file itself may be removed by now
  const auto row = find_file(store.read(), id);
  if (!row) throw ApiError(400, "no_such_file", "there is no file \"" + id + "\"", pointer);
  const auto path = folder / (id + lower_ending(row->filename));
  fs::create_directories(folder);
  if (::link(store.file_path(row->sha256).c_str(), path.c_str()) != 0)
    throw_io_error(path, "cannot be made", errno);
  return path;
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

}  // namespace

Json with_inputs(const Json& job, Store& store, const std::string& job_id) {
  Json bound = job;
  place(bound, store, store.job_folder(job_id) / "inputs", "");
  return bound;
}

}  // namespace thalweg::service
