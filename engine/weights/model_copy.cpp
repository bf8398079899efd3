#include "engine/weights/model_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/path.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

/// Without the values that are absolute paths.
Json without_paths(const Json& config) {
  Json kept = Json::object();
  for (const auto& [key, value] : config.items())
    if (!value.is_string() || value.get_ref<const std::string&>().size() < 2 ||
        !fs::path(value.get<std::string>()).is_absolute())
      kept[key] = value;
  return kept;
}

bool is_config(const fs::path& file) {
  const auto name = file.filename().string();
  return name == "special_tokens_map.json" || name.ends_with("config.json");
}

/// Folder of the model with all that its links may lead to: of a snapshot in Hugging Face's cache the whole
/// repository, whose blobs the snapshots link to.
fs::path repository_of(const fs::path& root) {
  const auto real = fs::canonical(root);
  return real.parent_path().filename() == "snapshots" ? real.parent_path().parent_path() : real;
}

void copy_contents(const fs::path& from, const fs::path& to) {
  if (is_config(from)) {
    const auto config = parse_json_file(from, kMaxConfigBytes);
    if (config.is_object())
      if (const auto kept = without_paths(config); kept.size() < config.size())
        return write_file(to, kept.dump(2) + "\n");
  }
  std::error_code ec;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, ec);
  if (ec) throw_io_error(to, "cannot be written, as a copy of " + from.string(), ec.value());
  // Whatever the source allows: the copy is its owner's.
  fs::permissions(to, fs::perms::owner_read | fs::perms::owner_write, fs::perm_options::add, ec);
}

}  // namespace

std::vector<ModelFile> component_copy(const ModelFolder& folder, const std::string& name) {
  std::vector<ModelFile> files;
  for (const auto& source : component_files(folder, name))
    files.push_back({source, fs::path(name) / source.filename()});
  // The first is the whole of the weights, or their index: the shards keep the names that it gives them.
  const auto plain = weights_name(folder, name) + ".safetensors";
  files.front().name =
      fs::path(name) / (files.front().source.extension() == ".json" ? plain + ".index.json" : plain);
  return files;
}

std::vector<ModelFile> tokenizer_copy(const ModelFolder& folder, const std::string& name) {
  const auto tokenizer = folder.root / name;
  std::error_code ec;
  const bool whole = fs::exists(tokenizer / "tokenizer.json", ec);
  const auto repository = repository_of(folder.root);
  std::vector<ModelFile> files;
  for (const char* file :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"})
    if (fs::is_regular_file(tokenizer / file, ec)) files.push_back({tokenizer / file, fs::path(name) / file});
  for (const char* file : {"vocab.json", "merges.txt", "spiece.model"})
    if (fs::is_regular_file(tokenizer / file, ec) && (!whole || lies_in(repository, tokenizer / file)))
      files.push_back({tokenizer / file, fs::path(name) / file});
  return files;
}

uint64_t readable_bytes(const std::vector<ModelFile>& files) {
  uint64_t bytes = 0;
  for (const auto& file : files) {
    const int fd = ::open(file.source.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) throw Error(file.source.string(), std::string("cannot be opened: ") + std::strerror(errno));
    ::close(fd);
    bytes += fs::file_size(file.source);
  }
  return bytes;
}

void copy_model(const ModelFolder& folder, const std::vector<ModelFile>& files, const fs::path& target) {
  std::set<std::string> components;
  for (const auto& file : files) {
    components.insert(file.name.begin()->string());
    fs::create_directories(target / file.name.parent_path());
    copy_contents(file.source, target / file.name);
  }
  auto index = without_paths(folder.index);
  for (auto& [key, value] : index.items())
    if (!key.starts_with("_") && value.is_array() && !components.count(key)) value = {nullptr, nullptr};
  write_file(target / kModelIndex, index.dump(2) + "\n");
}

}  // namespace thalweg
