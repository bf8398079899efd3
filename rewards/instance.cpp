#include "rewards/instance.h"

#include <algorithm>
#include <limits>
#include <set>

#include "engine/core/error.h"
#include "rewards/text.h"

namespace thalweg {
namespace {

constexpr uint32_t kMaxDimensions = 65536;

uint32_t bounded(int64_t size, const char* what, const std::string& place) {
  if (size < 0 || size > std::numeric_limits<int32_t>::max())
    throw Error(place, std::string(what) + " " + std::to_string(size) + " is out of range");
  return static_cast<uint32_t>(size);
}

/// A plugin may begin its text with a JSON pointer into its configuration ("/channel: must be ...").
[[noreturn]] void refuse_config(const std::string& place, const std::string& text) {
  const auto colon = text.find(": ");
  if (!text.empty() && text[0] == '/' && colon != std::string::npos && text.find(' ') > colon)
    throw Error(place + "/config" + text.substr(0, colon), text.substr(colon + 2));
  throw Error(place + "/config", text.empty() ? "the plugin refused it without saying why" : text);
}

}  // namespace

RewardModel::Instance::Instance(PluginLibrary& library, const thalweg_reward_descriptor& descriptor,
                                const Json& config, const Activation& activation, const std::string& place)
    : library(library),
      descriptor(descriptor),
      place(place),
      activation(activation),
      inputs_on(descriptor.devices & THALWEG_ON_CUDA ? activation.device : at::Device(at::kCPU)),
      host(library.path().stem().string(), activation.log) {
  const std::lock_guard lock(library.main_thread());
  try {
    create();
    activate(config);
    read_dimensions();
  } catch (...) {
    tear_down();
    throw;
  }
}

RewardModel::Instance::~Instance() {
  const std::lock_guard lock(library.main_thread());
  tear_down();
}

void RewardModel::Instance::tear_down() noexcept {
  if (active) reward->deactivate(reward);
  active = false;
  if (reward != nullptr) {
    reward->destroy(reward);
    --library.instances();
  }
  reward = nullptr;
}

void RewardModel::Instance::create() {
  const auto* made = library.factory().create(&library.factory(), host.table(), descriptor.id);
  if (made == nullptr) throw Error(place, "the plugin made no instance: " + host.last_error());
  if (made->init == nullptr || made->destroy == nullptr || made->activate == nullptr ||
      made->deactivate == nullptr || made->dimension_count == nullptr || made->dimension_name == nullptr ||
      made->score == nullptr || made->get_extension == nullptr)
    throw Error(place, "the plugin made an instance with missing functions");
  reward = made;
  ++library.instances();
  if (!succeeds([&] { return reward->init(reward); }))
    throw Error(place, "the plugin failed to start: " + error);
}

void RewardModel::Instance::activate(const Json& config) {
  if (!config.is_object()) throw Error(place + "/config", "must be a JSON object");
  const std::string text = config.dump();
  thalweg_activation a{};
  a.size = sizeof(a);
  a.max_batch = bounded(activation.max_batch, "max_batch", place);
  a.max_frames = bounded(activation.frames, "frames", place);
  a.max_height = bounded(activation.height, "height", place);
  a.max_width = bounded(activation.width, "width", place);
  // The job's GPU only for a plugin that says it knows one.
  a.device = {inputs_on.is_cuda() ? THALWEG_DEVICE_TYPE_CUDA : THALWEG_DEVICE_TYPE_CPU,
              inputs_on.is_cuda() ? inputs_on.index() : 0};
  a.seed = activation.seed;
  a.config_json = text.c_str();
  a.assets_dir = activation.assets_dir.c_str();

  thalweg_status status = THALWEG_OK;
  active = succeeds([&] { return status = reward->activate(reward, &a); });
  if (active) return;
  if (status == THALWEG_INVALID_ARGUMENT) refuse_config(place, host.last_error());
  throw Error(place, "the plugin could not be made ready: " + error);
}

void RewardModel::Instance::read_dimensions() {
  const uint32_t count = reward->dimension_count(reward);
  if (count == 0 || count > kMaxDimensions)
    throw Error(place, "the plugin says that it has " + std::to_string(count) + " dimensions");
  std::set<std::string> seen;
  for (uint32_t k = 0; k < count; ++k) {
    const char* name = reward->dimension_name(reward, k);
    if (name == nullptr || *name == '\0' || !is_clean_text(name) || !seen.insert(name).second)
      throw Error(place, "the plugin gives dimension " + std::to_string(k) +
                             " a name that is empty, "
                             "not UTF-8 or taken");
    dimensions.push_back(name);
  }
  gradient = static_cast<const thalweg_plugin_gradient*>(reward->get_extension(reward, THALWEG_EXT_GRADIENT));
  if (gradient != nullptr && (gradient->inputs == nullptr || gradient->vjp == nullptr))
    throw Error(place, "the plugin has a gradient extension with missing functions");
}

thalweg_status RewardModel::Instance::guarded(thalweg_status (*call)(void*), void* data) noexcept {
  // The interface forbids exceptions; one that comes all the same must not end the program.
  try {
    return call(data);
  } catch (const std::exception& e) {
    host.table()->set_error(host.table(), THALWEG_INTERNAL,
                            (std::string("let an exception out: ") + e.what()).c_str());
  } catch (...) {
    host.table()->set_error(host.table(), THALWEG_INTERNAL, "let an exception out");
  }
  return THALWEG_INTERNAL;
}

}  // namespace thalweg
