#include "pipelines/run/run_folder.h"

#include <exception>
#include <regex>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/io/checkpoint.h"
#include "pipelines/resume.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

/// A file of JSON, or null where there is none to be read.
Json read_or_null(const fs::path& path) {
  try {
    return fs::exists(path) ? parse_json_file(path) : Json(nullptr);
  } catch (const std::exception&) {
    return nullptr;
  }
}

bool is_finished(const fs::path& folder) {
  const auto result = read_or_null(folder / "result.json");
  return result.is_object() && result.value("status", Json()) == "succeeded";
}

/// Of whatever kind of job.
bool has_checkpoints(const fs::path& folder) {
  for (const auto& place : {folder, folder / "parts", folder / "vae"})
    if (!list_checkpoints(place).empty()) return true;
  return false;
}

/// Whether a text of the job is `path`, or a path inside of it.
bool reads(const Json& job, const fs::path& path) {
  if (job.is_string()) {
    std::error_code ec;
    for (auto named = fs::path(job.get<std::string>()); named.has_relative_path();
         named = named.parent_path())
      if (fs::equivalent(named, path, ec)) return true;
  }
  if (job.is_structured())
    for (const auto& value : job)
      if (reads(value, path)) return true;
  return false;
}

std::vector<fs::path> entries(const fs::path& folder, const std::regex& name) {
  std::vector<fs::path> found;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
    if (std::regex_match(it->path().filename().string(), name)) found.push_back(it->path());
  return found;
}

void remove_pictures(const fs::path& folder, const Json& resolved) {
  static const std::regex sheets(R"(grid(-\d+)?\.png)"),
      samples(R"(\d{5,}(_frame\d+)?\.png|\d{5,}\.mp4|grid\.png|before|after|step-\d+)");
  for (const auto& sheet : entries(folder, sheets))
    if (!reads(resolved, sheet)) remove_path(sheet);
  if (reads(resolved, folder / "samples")) return;
  for (const auto& picture : entries(folder / "samples", samples)) remove_path(picture);
  std::error_code not_empty;
  fs::remove(folder / "samples", not_empty);
}

}  // namespace

void require_free(const fs::path& folder, const Json& resolved) {
  const auto there = read_or_null(folder / "job.json");
  if (!there.is_object()) return;
  const auto difference = first_difference(deciding_part(there), deciding_part(resolved));
  const bool finished = is_finished(folder);
  if (difference.empty() || !(finished || has_checkpoints(folder))) return;
  throw Error("/output", folder.string() + " holds " + (finished ? "the results" : "what was done") +
                             " of another job: " + difference +
                             "; choose another output folder or remove this one");
}

void remove_leftovers(const fs::path& folder, const Json& resolved) {
  if (!fs::exists(folder / "job.json")) return remove_path(folder / "result.json");
  const auto there = read_or_null(folder / "job.json");
  if (!there.is_object() || deciding_part(there) != deciding_part(resolved))
    for (const auto* name :
         {"scores.jsonl", "events.jsonl", "metrics.jsonl", "report.html", "scheduler/scheduler_config.json"})
      if (!reads(resolved, folder / name)) remove_path(folder / name);
  if (there.is_object()) remove_pictures(folder, resolved);
  remove_path(folder / "result.json");
}

}  // namespace thalweg
