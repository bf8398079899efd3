#include "pipelines/resume.h"

#include <map>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/machine.h"
#include "engine/io/checkpoint.h"
#include "engine/io/fingerprint.h"
#include "rewards/plugin.h"

namespace thalweg {
namespace {

constexpr const char* kElse = "; choose another output folder or remove this one";

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

// A reward's config is its own; every text in it that is the path of something is taken for an input.
void collect_paths(const Json& config, const std::string& pointer, std::vector<InputFile>& inputs) {
  if (config.is_structured()) {
    for (const auto& [key, value] : config.items()) collect_paths(value, pointer + "/" + key, inputs);
  } else if (config.is_string() && !config.get_ref<const std::string&>().empty()) {
    std::error_code ec;
    const std::filesystem::path path = config.get<std::string>();
    if (std::filesystem::exists(path, ec)) inputs.push_back({pointer, path});
  }
}

}  // namespace

void add_inputs(std::vector<InputFile>& inputs, const std::vector<RewardSpec>& rewards) {
  for (const auto& reward : rewards) {
    const auto plugin = find_plugin(reward.plugin, installed_plugin_dirs(), reward.isolation, reward.pointer);
    inputs.push_back({reward.pointer + "/plugin", plugin.path});
    collect_paths(reward.config, reward.pointer + "/config", inputs);
  }
}

Json deciding_part(Json job) {
  job.erase("name");
  job.erase("output");
  if (job.contains("model")) job["model"].erase("prompt_cache");
  job.erase("monitors");  // they judge the numbers and do not change them
  if (job.contains("parallel")) job["parallel"].erase("workers");
  return job;
}

Json run_identity(const Fields::Describe& job, const std::vector<InputFile>& inputs) {
  Json identity = {
      {"job", deciding_part(write_fields(job))}, {"inputs", Json::array()}, {"machine", machine_identity()}};
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

Event damaged_checkpoint(const std::filesystem::path& checkpoint, const std::string& problem) {
  const auto aside = set_aside(checkpoint);
  return {"warn",
          "checkpoint_damaged",
          "a checkpoint is damaged and passed over: " + problem + "; it was moved to " + aside.string(),
          {{"checkpoint", checkpoint.filename().string()}, {"problem", problem}}};
}

std::optional<Event> other_processor(const std::filesystem::path& checkpoint) {
  const auto there = read_manifest(checkpoint).run.at("machine").value("processor", "unknown");
  const auto here = processor_name();
  if (there == here) return std::nullopt;
  return Event{"warn",
               "other_processor",
               "the checkpoint was computed on another processor (" + there + " there, " + here +
                   " here): the last bits of the numbers may differ from an uninterrupted run's",
               {{"before", there}, {"now", here}}};
}

Resumable find_resumable(const std::filesystem::path& folder, const Observer& observer) {
  Resumable found;
  remove_abandoned(folder);
  auto checkpoints = list_checkpoints(folder);
  for (; !checkpoints.empty(); checkpoints.pop_back()) {
    const auto problem = verify_checkpoint(checkpoints.back());
    if (problem.empty()) break;
    found.events.push_back(damaged_checkpoint(checkpoints.back(), problem));
    if (checkpoints.size() == 1)
      found.events.push_back({"warn", "run_restarted",
                              "no checkpoint is whole: the run starts from the beginning", Json::object()});
  }
  if (!checkpoints.empty()) {
    found.checkpoint = checkpoints.back();
    if (auto event = other_processor(*found.checkpoint)) found.events.push_back(std::move(*event));
  }
  for (const auto& event : found.events) observer.message(event.message);
  return found;
}

}  // namespace thalweg
