#include "pipelines/resume.h"

#include <map>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/machine.h"
#include "engine/io/checkpoint.h"
#include "engine/io/fingerprint.h"
#include "pipelines/sections.h"
#include "rewards/config_paths.h"
#include "rewards/open_reward.h"

namespace thalweg {
namespace {

constexpr const char* kElse = "; choose another output folder or remove this one";

std::string shown(const Json& json, const Json::json_pointer& pointer) {
  if (!json.contains(pointer)) return "absent";
  const auto text = json.at(pointer).dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > 80 ? text.substr(0, 80) + "..." : text;
}

// Of one operation of Json::diff(): the list where it appends to one.
Json::json_pointer place_of(const Json& change) {
  const Json::json_pointer at(change.at("path").get<std::string>());
  return !at.empty() && at.back() == "-" ? at.parent_pointer() : at;
}

// Keys on which no number depends: names, folders, how often something is saved and how much is shown, what
// ends a run. Iterations are one of them only where no step knows how many there will be.
constexpr const char* kFree[] = {"/name",
                                 "/output",
                                 "/monitors",
                                 "/failed_rewards",
                                 "/checkpoint",
                                 "/parallel/workers",
                                 "/model/prompt_cache",
                                 "/method/data/folder",
                                 "/evaluate/pictures",
                                 "/evaluate/baselines",
                                 "/evaluate/early_stop",
                                 "/optimizer/max_skipped",
                                 "/save_images",
                                 "/video",
                                 "/save_latents",
                                 "/save_frames"};

void erase(Json& json, const Json::json_pointer& at) {
  if (json.contains(at) && !at.empty()) json.at(at.parent_pointer()).erase(at.back());
}

bool is_constant(const Json& job) {
  const Json::json_pointer schedule("/optimizer/schedule");
  return job.contains(schedule) && job.at(schedule) == "constant";
}

std::string why(const std::string& pointer) {
  if (pointer != "/iterations") return "";
  return "; the learning rate's /optimizer/schedule runs to the last iteration, so that the steps that were "
         "done would "
         "have been others. To train on from here, start a new run at this one's weights (/model/lora/path, "
         "or "
         "/model/path)";
}

void require_same_job(const std::string& place, const Json& there, const Json& here) {
  const auto changes = Json::diff(there, here);
  if (changes.empty()) return;
  throw Error("/output", place + " belongs to another job: " + first_difference(there, here) +
                             why(place_of(changes[0]).to_string()) + kElse);
}

/// Where the job names an input, and the file's own name or its place in the folder.
using Key = std::pair<std::string, std::string>;

struct Fingerprint {
  std::string path, sha256;
};

using Fingerprints = std::map<Key, Fingerprint>;

Fingerprints fingerprints_of(const Json& inputs) {
  Fingerprints all;
  for (const auto& input : inputs)
    all[{input.at("pointer").get<std::string>(), input.at("name").get<std::string>()}] = {
        input.at("path").get<std::string>(), input.at("sha256").get<std::string>()};
  return all;
}

void require_same(const std::string& place, Fingerprints before, const Fingerprints& now) {
  const auto refuse = [&](const auto& entry, const std::string& what) {
    throw Error(entry.first.first, entry.second.path + " " + what + " since " + place +
                                       " was written; going on would not be the same run. Put back what it "
                                       "was, or choose another output folder");
  };
  for (const auto& entry : now) {
    const auto it = before.find(entry.first);
    if (it == before.end()) refuse(entry, "was added");
    if (it->second.sha256 != entry.second.sha256) refuse(entry, "has changed");
    before.erase(it);
  }
  if (!before.empty()) refuse(*before.begin(), "was removed");
}

Json fingerprints(const std::vector<InputFile>& inputs) {
  Json list = Json::array();
  for (const auto& input : inputs)
    for (const auto& file : files_of_input(input.path)) {
      const bool is_folder = file != input.path;
      const auto name = is_folder ? file.lexically_relative(input.path) : file.filename();
      list.push_back({{"pointer", input.pointer},
                      {"path", file.string()},
                      {"name", name.generic_string()},
                      {"sha256", fingerprint(file)}});
    }
  return list;
}

/// What decides the numbers, and in place of the paths of inputs their hashes: those are compared instead.
Json deciding_part_of(const Json& identity) {
  auto job = deciding_part(identity.at("job"));
  for (const auto& input : identity.at("inputs"))
    if (const Json::json_pointer at(input.at("pointer").get<std::string>()); job.contains(at))
      job.at(at) = "an input";
  return job;
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

// Of `remote`: what a run writes itself, whom it may ask and how long it waits. Answers depend on none of it.
void free_of_remote(Json& config) {
  for (const auto* key : {"cache", "limits", "rate", "timeouts", "retries", "concurrency", "api_key_env",
                          "api_key_file", "ca_file", "allow_hosts"})
    config.erase(key);
}

// The installation's own alone is called by its bare name: a stranger's remote.so may mean something else by
// its keys.
bool is_remote(const std::string& plugin) {
  return plugin == "remote";
}

void require_iterations(const std::string& place, int64_t done, const Json& job) {
  const auto iterations = job.value("iterations", done);
  if (iterations < done)
    throw Error("/iterations", "is " + std::to_string(iterations) + ", and " + place + " has done " +
                                   std::to_string(done) +
                                   "; ask for no fewer, or choose another output folder");
}

}  // namespace

void add_inputs(std::vector<InputFile>& inputs, const std::vector<RewardSpec>& rewards) {
  for (const auto& reward : rewards) {
    const auto plugin = locate(reward, installed_plugin_dirs());
    inputs.push_back({reward.pointer + "/plugin", plugin.path});
    auto config = reward.config;
    if (is_remote(reward.plugin)) free_of_remote(config);
    for (auto& named : paths_in(config, reward.pointer + "/config"))
      inputs.push_back({std::move(named.pointer), std::move(named.path)});
  }
}

void add_inputs(std::vector<InputFile>& inputs, const ModelSection& model) {
  inputs.push_back({"/model/path", model.path});
  const auto loras = lora_paths(model);
  for (const auto& [pointer, path] : loras)
    if (!path.empty()) inputs.push_back({pointer, path});
  if (auto scheduler = lora_scheduler(model); !scheduler.empty())
    inputs.push_back({loras.front().first, std::move(scheduler)});
}

Json deciding_part(Json job) {
  for (const auto* key : kFree) erase(job, Json::json_pointer(key));
  if (job.contains("rewards"))
    for (auto& reward : job.at("rewards")) {
      reward.erase("host");
      if (reward.contains("config") && is_remote(reward.at("plugin").get<std::string>()))
        free_of_remote(reward.at("config"));
    }
  if (is_constant(job)) job.erase("iterations");
  return job;
}

std::string first_difference(const Json& there, const Json& here) {
  const auto changes = Json::diff(there, here);
  if (changes.empty()) return "";
  const auto at = place_of(changes[0]);
  return at.to_string() + " is " + shown(there, at) + " there and " + shown(here, at) + " here";
}

Json run_identity(const Fields::Describe& job, const std::vector<InputFile>& inputs) {
  return {{"job", write_fields(job)}, {"inputs", fingerprints(inputs)}, {"machine", machine_identity()}};
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
      require_same_job(place, deciding_part_of(manifest.run), deciding_part_of(here));
      require_same(place, fingerprints_of(manifest.run.at("inputs")), fingerprints_of(here.at("inputs")));
      require_same_machine(place, manifest.run.at("machine"), here.at("machine"));
      require_iterations(place, manifest.step, here.at("job"));
    } catch (const Json::exception&) {
      throw Error("/output", place + " belongs to another job" + kElse);
    }
  }
}

void require_same_inputs(const std::filesystem::path& checkpoint, const std::vector<InputFile>& inputs) {
  std::set<std::string> pointers;
  for (const auto& input : inputs) pointers.insert(input.pointer);
  Fingerprints before;
  try {
    before = fingerprints_of(read_manifest(checkpoint).run.at("inputs"));
  } catch (const Json::exception&) {
    throw Error(checkpoint.string(), "does not say what it was computed from");
  }
  std::erase_if(before, [&](const auto& entry) { return !pointers.contains(entry.first.first); });
  require_same(checkpoint.string(), std::move(before), fingerprints_of(fingerprints(inputs)));
}

std::string changed_settings(const std::filesystem::path& checkpoint, const Json& identity) {
  constexpr size_t kMost = 16;
  auto there = read_manifest(checkpoint).run.at("job"), here = identity.at("job");
  for (auto* job : {&there, &here}) job->erase("output");
  std::string line;
  std::set<std::string> said;
  for (const auto& change : Json::diff(there, here)) {
    const auto at = place_of(change);
    const auto pointer = at.to_string();
    if (!said.insert(pointer).second) continue;
    if (said.size() > kMost) return line + ", ...";
    line += (line.empty() ? "settings have changed since " + checkpoint.filename().string() + ": " : ", ") +
            pointer + " from " + shown(there, at) + " to " + shown(here, at);
  }
  return line;
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

Resumable find_resumable(const std::filesystem::path& folder, const Json& identity,
                         const Observer& observer) {
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
    if (const auto line = changed_settings(*found.checkpoint, identity); !line.empty())
      observer.message(line);
  }
  for (const auto& event : found.events) observer.message(event.message);
  return found;
}

}  // namespace thalweg
