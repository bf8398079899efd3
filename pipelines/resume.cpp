#include "pipelines/resume.h"

#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include <fstream>
#include <map>

#include "engine/core/error.h"
#include "engine/io/checkpoint.h"
#include "engine/io/fingerprint.h"

namespace thalweg {
namespace {

constexpr const char* kElse = "; choose another output folder or remove this one";

std::string processor() {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("model name") && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "unknown";
}

std::string shown(const Json& json, const Json::json_pointer& pointer) {
  if (!json.contains(pointer)) return "absent";
  const auto text = json.at(pointer).dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > 80 ? text.substr(0, 80) + "..." : text;
}

void require_same_job(const std::string& place, const Json& there, const Json& here) {
  const auto changes = Json::diff(there, here);
  if (changes.empty()) return;
  const auto pointer = changes[0].at("path").get<std::string>();
  const Json::json_pointer at(pointer);
  throw Error("/output", place + " belongs to another job: " + pointer + " is " + shown(there, at) +
                             " there and " + shown(here, at) + " here" + kElse);
}

using Hashes = std::map<std::pair<std::string, std::string>, std::string>;

Hashes hashes_of(const Json& inputs) {
  Hashes hashes;
  for (const auto& input : inputs)
    hashes[{input.at("pointer").get<std::string>(), input.at("path").get<std::string>()}] =
        input.at("sha256").get<std::string>();
  return hashes;
}

void require_same_inputs(const std::string& place, const Json& there, const Json& here) {
  auto before = hashes_of(there);
  const auto refuse = [&](const auto& key, const std::string& what) {
    throw Error(key.first, key.second + " " + what + " since " + place +
                               " was written; going on would not be the same run. Put back what it was, or "
                               "choose another output folder");
  };
  for (const auto& [key, hash] : hashes_of(here)) {
    const auto it = before.find(key);
    if (it == before.end()) refuse(key, "was added");
    if (it->second != hash) refuse(key, "has changed");
    before.erase(it);
  }
  if (!before.empty()) refuse(before.begin()->first, "was removed");
}

// The processor itself only warns (find_resumable): it names too much.
void require_same_machine(const std::string& place, const Json& there, const Json& here) {
  static const std::pair<const char*, const char*> kNames[] = {{"program", "another version of this program"},
                                                               {"libtorch", "another LibTorch"},
                                                               {"cpu_capability", "another instruction set"}};
  for (const auto& [key, name] : kNames) {
    const auto before = there.at(key).get<std::string>(), now = here.at(key).get<std::string>();
    if (before == now) continue;
    std::string text = place + " was computed with " + name + ": " + before + " there, " + now +
                       " here; going on would change the last bits of the numbers";
    if (key == std::string("cpu_capability"))
      text += " (a newer processor can be told: set ATEN_CPU_CAPABILITY to default, avx2 or avx512)";
    throw Error("/output", text + kElse);
  }
}

}  // namespace

Json machine_identity() {
  return {{"program", THALWEG_VERSION},
          {"libtorch", TORCH_VERSION},
          {"cpu_capability", at::get_cpu_capability()},
          {"processor", processor()}};
}

Json run_identity(const Fields::Describe& job, const std::vector<InputFile>& inputs) {
  Json identity = {{"job", write_fields(job)}, {"inputs", Json::array()}, {"machine", machine_identity()}};
  identity["job"].erase("name");
  identity["job"].erase("output");
  if (identity["job"].contains("model")) identity["job"]["model"].erase("prompt_cache");
  identity["job"].erase("monitors");  // they judge the numbers and do not change them
  if (identity["job"].contains("parallel")) identity["job"]["parallel"].erase("workers");
  for (const auto& input : inputs)
    for (const auto& file : files_of_input(input.path))
      identity["inputs"].push_back(
          {{"pointer", input.pointer}, {"path", file.string()}, {"sha256", fingerprint(file)}});
  return identity;
}

void require_own_checkpoints(const std::filesystem::path& folder, const std::function<Json()>& identity) {
  Json here;
  for (const auto& checkpoint : list_checkpoints(folder)) {
    CheckpointManifest manifest;
    try {
      manifest = read_manifest(checkpoint);
    } catch (const Error&) {
      continue;
    }
    const auto place = checkpoint.string();
    if (manifest.format != kCheckpointFormat)
      throw Error("/output", place + " was written by another version of this program" + kElse);
    if (here.is_null()) here = identity();
    try {
      require_same_job(place, manifest.run.at("job"), here.at("job"));
      require_same_inputs(place, manifest.run.at("inputs"), here.at("inputs"));
      require_same_machine(place, manifest.run.at("machine"), here.at("machine"));
    } catch (const Json::exception&) {
      throw Error("/output", place + " belongs to another job" + kElse);
    }
  }
}

Resumable find_resumable(const std::filesystem::path& folder, const Observer& observer) {
  Resumable found;
  const auto note = [&](const std::string& type, const std::string& line, Json data) {
    observer.message(line);
    found.events.push_back({"warn", type, line, std::move(data)});
  };
  remove_abandoned(folder);
  auto checkpoints = list_checkpoints(folder);
  for (; !checkpoints.empty(); checkpoints.pop_back()) {
    const auto problem = verify_checkpoint(checkpoints.back());
    if (problem.empty()) break;
    const auto aside = set_aside(checkpoints.back());
    note("checkpoint_damaged",
         "a checkpoint is damaged and passed over: " + problem + "; it was moved to " + aside.string(),
         {{"checkpoint", checkpoints.back().filename().string()}, {"problem", problem}});
    if (checkpoints.size() == 1)
      note("run_restarted", "no checkpoint is whole: the run starts from the beginning", Json::object());
  }
  if (checkpoints.empty()) return found;
  found.checkpoint = checkpoints.back();
  const auto there = read_manifest(*found.checkpoint).run.at("machine").value("processor", "unknown");
  if (const auto here = processor(); there != here)
    note("other_processor",
         "the checkpoint was computed on another processor (" + there + " there, " + here +
             " here): the last bits of the numbers may differ from an uninterrupted run's",
         {{"before", there}, {"now", here}});
  return found;
}

}  // namespace thalweg
