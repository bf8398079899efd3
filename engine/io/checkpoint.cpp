#include "engine/io/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/sha256.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

const std::string kPrefix = "checkpoint-";

// Relative, and never out of the folder: manifests come from outside.
bool is_inside(const std::string& name) {
  const fs::path path(name);
  if (name.empty() || path.is_absolute() || name.find('\\') != std::string::npos) return false;
  return std::all_of(path.begin(), path.end(),
                     [](const fs::path& part) { return !part.empty() && part != "." && part != ".."; });
}

// The N of checkpoint-N; none for other names (checkpoint-7.old, checkpoint-007).
std::optional<int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (name.rfind(kPrefix, 0) != 0) return std::nullopt;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || step < 0 || name != kPrefix + std::to_string(step))
    return std::nullopt;
  return step;
}

fs::path temporary_of(const fs::path& run_dir, int64_t step) {
  return run_dir / ("." + kPrefix + std::to_string(step) + ".tmp");
}

Json manifest_of(const fs::path& folder, int64_t step, const Json& run) {
  Json files = Json::array();
  for (const auto& file : entries_below(folder)) {
    if (fs::is_directory(file)) continue;
    files.push_back({{"name", file.lexically_relative(folder).generic_string()},
                     {"size", fs::file_size(file)},
                     {"sha256", sha256_file(file)}});
  }
  return {{"version", kCheckpointFormat}, {"step", step}, {"run", run}, {"files", files}};
}

}  // namespace

CheckpointWriter::CheckpointWriter(const fs::path& run_dir, int64_t step)
    : run_dir_(run_dir), folder_(temporary_of(run_dir, step)), step_(step) {
  if (step < 0) throw Error(run_dir.string(), "a checkpoint's step cannot be negative");
  remove_path(folder_);  // left by a run that was killed
  std::error_code ec;
  fs::create_directories(folder_, ec);
  if (ec) throw_io_error(folder_, "cannot be created", ec.value());
}

CheckpointWriter::~CheckpointWriter() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

fs::path CheckpointWriter::path(const std::string& name) const {
  if (!is_inside(name) || name == "state.json" || name == "manifest.json")
    throw Error(name, "is no name for a checkpoint file");
  const fs::path path = folder_ / name;
  std::error_code ec;
  fs::create_directories(path.parent_path(), ec);
  if (ec) throw_io_error(path.parent_path(), "cannot be created", ec.value());
  return path;
}

fs::path CheckpointWriter::commit(const Json& state, const Json& run) try {
  if (folder_.empty()) throw Error(run_dir_.string(), "this checkpoint was committed before");
  write_synced(folder_ / "state.json", state.dump(2));
  sync_tree(folder_);
  const Json manifest = manifest_of(folder_, step_, run);
  write_synced(folder_ / "manifest.json", manifest.dump(2));
  const fs::path target = run_dir_ / (kPrefix + std::to_string(step_));
  replace_folder(folder_, target);
  folder_.clear();
  return target;
} catch (const fs::filesystem_error& e) {
  throw_io_error(e.path1(), "the checkpoint cannot be written", e.code().value());
} catch (const Json::exception& e) {
  throw Error(run_dir_.string(), std::string("the checkpoint's state is not UTF-8: ") + e.what());
}

CheckpointManifest read_manifest(const fs::path& checkpoint) {
  const fs::path path = checkpoint / "manifest.json";
  const Json json = parse_json_file(path);
  try {
    CheckpointManifest manifest;
    manifest.format = json.at("version").get<int64_t>();
    if (manifest.format != kCheckpointFormat) return manifest;
    manifest.step = json.at("step").get<int64_t>();
    manifest.run = json.at("run");
    for (const auto& file : json.at("files")) {
      manifest.files.push_back({file.at("name").get<std::string>(), file.at("size").get<uint64_t>(),
                                file.at("sha256").get<std::string>()});
      if (!is_inside(manifest.files.back().name))
        throw Error(path.string(), "names a file outside of its folder");
    }
    return manifest;
  } catch (const Json::exception& e) {
    throw Error(path.string(), std::string("is not a manifest: ") + e.what());
  }
}

std::string verify_checkpoint(const fs::path& checkpoint) try {
  const CheckpointManifest manifest = read_manifest(checkpoint);
  if (manifest.format != kCheckpointFormat)
    return checkpoint.string() + ": is of format " + std::to_string(manifest.format) +
           "; this program reads format " + std::to_string(kCheckpointFormat);
  if (const auto step = step_of(checkpoint); step && *step != manifest.step)
    return checkpoint.string() + ": the manifest is of step " + std::to_string(manifest.step);
  bool has_state = false;
  for (const auto& file : manifest.files) {
    const fs::path path = checkpoint / file.name;
    std::error_code ec;
    if (!fs::is_regular_file(path, ec)) return path.string() + ": is missing";
    if (fs::file_size(path, ec) != file.size)
      return path.string() + ": has another size than its manifest says";
    if (sha256_file(path) != file.sha256)
      return path.string() + ": has another sha256 than its manifest says";
    has_state = has_state || file.name == "state.json";
  }
  return has_state ? "" : checkpoint.string() + ": the manifest lists no state.json";
} catch (const Error& e) {
  return e.what();
}

std::vector<fs::path> list_checkpoints(const fs::path& run_dir) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code ec, ignored;
  for (fs::directory_iterator it(run_dir, ec), end; !ec && it != end; it.increment(ec)) {
    const auto step = step_of(it->path());
    if (step && it->is_directory(ignored)) found.emplace_back(*step, it->path());
  }
  // A folder that cannot be listed is not one without checkpoints: the run would start anew over them.
  if (ec && ec != std::errc::no_such_file_or_directory && ec != std::errc::not_a_directory)
    throw_io_error(run_dir, "cannot be listed", ec.value());
  std::sort(found.begin(), found.end());
  std::vector<fs::path> folders;
  for (auto& [step, folder] : found) folders.push_back(std::move(folder));
  return folders;
}

int64_t checkpoint_number(const fs::path& checkpoint) {
  return step_of(checkpoint).value();
}

fs::path set_aside(const fs::path& checkpoint) {
  const fs::path aside = checkpoint.string() + ".damaged";
  replace_folder(checkpoint, aside);
  return aside;
}

void remove_abandoned(const fs::path& run_dir) {
  std::vector<fs::path> abandoned;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(run_dir, ec)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("." + kPrefix, 0) == 0 && entry.path().extension() == ".tmp")
      abandoned.push_back(entry.path());
  }
  for (const auto& folder : abandoned) remove_path(folder);
}

Json read_state(const fs::path& checkpoint) {
  return parse_json_file(checkpoint / "state.json");
}

std::vector<fs::path> prune_checkpoints(const fs::path& run_dir, int64_t keep,
                                        const std::set<int64_t>& protected_steps) {
  if (keep < 1) throw Error(run_dir.string(), "at least one checkpoint is kept");
  const auto folders = list_checkpoints(run_dir);
  if (folders.empty() || !verify_checkpoint(folders.back()).empty()) return {};
  remove_abandoned(run_dir);
  std::vector<fs::path> doomed;
  const auto count = static_cast<int64_t>(folders.size());
  for (int64_t i = 0; i + keep < count; ++i) {
    const auto& folder = folders[static_cast<size_t>(i)];
    const int64_t step = step_of(folder).value();
    if (protected_steps.count(step) != 0) continue;
    // Out of the list first: a kill in the middle must not leave half a checkpoint under its name.
    const fs::path hidden = temporary_of(run_dir, step);
    if (std::rename(folder.c_str(), hidden.c_str()) != 0) throw_io_error(folder, "cannot be removed", errno);
    remove_path(hidden);
    doomed.push_back(folder);
  }
  return doomed;
}

}  // namespace thalweg
