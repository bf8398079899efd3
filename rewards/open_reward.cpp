#include "rewards/open_reward.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/process.h"
#include "rewards/config_paths.h"
#include "rewards/hosted/hosted_reward.h"
#include "rewards/hosted/interpreter.h"
#include "rewards/hosted/sandbox.h"
#include "rewards/library.h"
#include "rewards/plugin_reward.h"
#include "rewards/single_frames.h"

namespace fs = std::filesystem;

namespace thalweg {
namespace {

std::string host_program(const std::string& place) {
  if (const auto file = program_beside("thalweg-reward-host")) return file->string();
  throw Error(place,
              "thalweg-reward-host is not there, which runs a reward in a process of its own: build or "
              "install it with the program");
}

/// Whether a library says that it speaks to servers. One that cannot be opened says nothing: whoever opens it
/// next hears why.
bool is_remote(const fs::path& library) {
  try {
    for (const auto* descriptor : PluginLibrary::open(library).descriptors())
      for (auto f = descriptor->features; f != nullptr && *f != nullptr; ++f)
        if (std::strcmp(*f, THALWEG_FEATURE_REMOTE) == 0) return true;
  } catch (const Error&) {
  }
  return false;
}

bool uses_gpu(const RewardSpec& spec, const PluginFile& file, const Activation& activation) {
  const auto device = spec.config.is_object() ? spec.config.value("device", Json()) : Json();
  if (device.is_string()) return device.get<std::string>().starts_with("cuda");
  return !file.is_script() && activation.device.is_cuda();
}

Sandbox sandbox_of(const RewardSpec& spec, const PluginFile& file, const Activation& activation) {
  Sandbox sandbox{.network = spec.host.network,
                  .gpu = uses_gpu(spec, file, activation),
                  .readable = spec.host.files,
                  .writable = spec.host.writable};
  const auto add = [&](const std::vector<std::string>& places) {
    sandbox.readable.insert(sandbox.readable.end(), places.begin(), places.end());
  };
  add_own_places(file.path, sandbox);
  if (!activation.assets_dir.empty()) add({activation.assets_dir});
  for (const auto& named : paths_in(spec.config, "")) add(named_places(named.path));
  // A script's file imports what lies beside it.
  if (const auto own = spec.config.value("file", std::string()); file.is_script() && !own.empty())
    add_own_places(own, sandbox);
  return sandbox;
}

// What runs: our host, held to the sandbox, which a script's interpreter takes the place of.
std::vector<std::string> sandboxed(const std::string& host, const Sandbox& sandbox,
                                   const std::vector<std::string>& command) {
  std::vector<std::string> words = {host, "--sandbox",
                                    to_json(sandbox).dump(-1, ' ', false, Json::error_handler_t::replace)};
  if (!command.empty()) words.emplace_back("--");
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

HostedTask task_of(const RewardSpec& spec, const PluginFile& file, const Activation& activation) {
  HostedTask task{.command = {}, .name = file.name, .open = {}};
  // The installation's own client connects where its configuration lets it, and keeps its answers.
  const bool held = spec.host.sandbox && !(file.trusted && is_remote(file.path));
  Sandbox sandbox;
  if (held) {
    task.temporary = std::make_shared<const ScratchFolder>("thalweg-reward");
    sandbox = sandbox_of(spec, file, activation);
    sandbox.temporary = task.temporary->path().string();
  }
  if (file.is_script()) {
    const auto interpreter =
        ask_interpreter(spec.config.value("interpreter", std::string("python3")), file.path, spec.host.call_s,
                        spec.pointer + "/config/interpreter");
    sandbox.readable.insert(sandbox.readable.end(), interpreter.places.begin(), interpreter.places.end());
    task.command = {interpreter.executable, file.path.string()};
    if (const auto own = spec.config.value("file", std::string()); !own.empty())
      task.name = fs::path(own).stem().string();
  }
  if (held) {
    task.command = sandboxed(host_program(spec.pointer), sandbox, task.command);
  } else if (!file.is_script()) {
    task.command = {host_program(spec.pointer)};
  }
  task.open = {{"plugin", fs::absolute(file.path).string()},
               {"id", spec.id},
               {"config", spec.config},
               {"place", spec.pointer}};
  return task;
}

// Texts that are read here, before the script checks its own configuration.
void check_script(const RewardSpec& spec) {
  for (const auto* key : {"interpreter", "file"})
    if (spec.config.contains(key) && !spec.config.at(key).is_string())
      throw Error(spec.pointer + "/config/" + key, "must be a text");
}

}  // namespace

PluginFile locate(const RewardSpec& spec, const std::vector<fs::path>& plugin_dirs) {
  auto file = find_plugin(spec.plugin, plugin_dirs, spec.isolation, spec.pointer);
  if (file.is_script()) check_script(spec);
  // One that waits for a server would hold up all other calls in the program: see decision 0043.
  if (!file.own_process && spec.isolation.empty()) file.own_process = is_remote(file.path);
  if (!file.own_process && spec.host != HostLimits{})
    throw Error(
        spec.pointer + "/host",
        "is read by nothing: this reward runs in the program; set \"isolation\" to \"process\", or leave "
        "it out");
  if (file.own_process) check(spec.host, spec.pointer + "/host");
  return file;
}

bool scores_elsewhere(const std::vector<RewardSpec>& specs, const std::vector<fs::path>& plugin_dirs) {
  return std::any_of(specs.begin(), specs.end(),
                     [&](const auto& spec) { return locate(spec, plugin_dirs).own_process; });
}

std::unique_ptr<Reward> open_reward(const RewardSpec& spec, const std::vector<fs::path>& plugin_dirs,
                                    const Activation& whole) {
  const auto file = locate(spec, plugin_dirs);
  auto activation = whole;
  if (spec.frames.single()) activation.frames = 1;
  std::unique_ptr<Reward> reward;
  if (file.own_process)
    reward =
        std::make_unique<HostedReward>(task_of(spec, file, activation), spec.host, activation, spec.pointer);
  else
    reward = std::make_unique<PluginReward>(file.path, spec.config, activation, spec.pointer, spec.id);
  if (spec.frames.single())
    return std::make_unique<SingleFrames>(std::move(reward), spec.frames, spec.pointer);
  if (reward->info().compares_frames && whole.frames == 1)
    throw Error(spec.pointer, "\"" + reward->info().name +
                                  "\" compares the frames of a video, and here each sample has one frame");
  return reward;
}

RewardInfo inspect_reward(const RewardSpec& spec, const std::vector<fs::path>& plugin_dirs) {
  const auto file = locate(spec, plugin_dirs);
  auto info = file.own_process
                  ? hosted_reward_info(task_of(spec, file, Activation{}), spec.host, spec.pointer)
                  : plugin_reward_info(file.path, spec.id, spec.pointer);
  return spec.frames.single() ? single_frames_info(std::move(info), spec.pointer) : info;
}

std::vector<RewardInfo> inspect_rewards(const std::vector<RewardSpec>& specs, RewardUse use,
                                        const std::vector<fs::path>& plugin_dirs) {
  std::vector<RewardInfo> infos;
  for (const auto i : serving(specs, use)) infos.push_back(inspect_reward(specs[i], plugin_dirs));
  return infos;
}

}  // namespace thalweg
