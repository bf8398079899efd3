#include "rewards/instance.h"

#include <limits>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "rewards/guard.h"
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

template <class Call>
auto PluginInstance::called(const char* function, Call&& call) {
  return guarded(place_, plugin_, function, std::forward<Call>(call));
}

PluginInstance::PluginInstance(PluginLibrary& library, const thalweg_reward_descriptor& descriptor,
                               const std::string& place, const RewardLog& log)
    : library_(library),
      descriptor_(descriptor),
      place_(place),
      plugin_(library.path().stem().string()),
      host_(plugin_, log) {
  const std::lock_guard lock(library_.main_thread());
  try {
    create();
  } catch (...) {
    tear_down();
    throw;
  }
}

PluginInstance::~PluginInstance() {
  const std::lock_guard lock(library_.main_thread());
  tear_down();
}

void PluginInstance::tear_down() noexcept {
  // What comes out here is swallowed: the values are safe, and there is nobody left to tell.
  if (active_) call_library(plugin_, "deactivate", [&] { reward_->deactivate(reward_); });
  active_ = false;
  if (reward_ != nullptr) {
    call_library(plugin_, "destroy", [&] { reward_->destroy(reward_); });
    --library_.instances();
  }
  reward_ = nullptr;
}

void PluginInstance::create() {
  const auto& factory = library_.factory();
  const auto* made =
      called("create", [&] { return factory.create(&factory, host_.table(), descriptor_.id); });
  if (made == nullptr) throw Error(place_, "the plugin made no instance: " + host_.last_error());
  if (made->init == nullptr || made->destroy == nullptr || made->activate == nullptr ||
      made->deactivate == nullptr || made->dimension_count == nullptr || made->dimension_name == nullptr ||
      made->score == nullptr || made->get_extension == nullptr)
    throw Error(place_, "the plugin made an instance with missing functions");
  reward_ = made;
  ++library_.instances();
  if (const auto text = failure_of("init", [&] { return reward_->init(reward_); }); !text.empty())
    throw Error(place_, "the plugin failed to start: " + text);
}

void PluginInstance::activate(const Json& config, const Activation& activation, at::Device inputs_on) {
  const std::lock_guard lock(library_.main_thread());
  if (!config.is_object()) throw Error(place_ + "/config", "must be a JSON object");
  const std::string text = config.dump();
  thalweg_activation a{};
  a.size = sizeof(a);
  a.max_batch = bounded(activation.max_batch, "max_batch", place_);
  a.max_frames = bounded(activation.frames, "frames", place_);
  a.max_height = bounded(activation.height, "height", place_);
  a.max_width = bounded(activation.width, "width", place_);
  // The job's GPU only for a plugin that says it knows one.
  a.device = {inputs_on.is_cuda() ? THALWEG_DEVICE_TYPE_CUDA : THALWEG_DEVICE_TYPE_CPU,
              inputs_on.is_cuda() ? inputs_on.index() : 0};
  a.seed = activation.seed;
  a.config_json = text.c_str();
  a.assets_dir = activation.assets_dir.c_str();

  thalweg_status status = THALWEG_INTERNAL;  // of a call that lets an exception out
  const auto wrong = failure_of("activate", [&] { return status = reward_->activate(reward_, &a); });
  active_ = wrong.empty();
  if (active_) return;
  if (status == THALWEG_INVALID_ARGUMENT) refuse_config(place_, host_.last_error());
  throw Error(place_, "the plugin could not be made ready: " + wrong);
}

std::vector<std::string> PluginInstance::read_dimensions() {
  const std::lock_guard lock(library_.main_thread());
  const uint32_t count = called("dimension_count", [&] { return reward_->dimension_count(reward_); });
  if (count == 0 || count > kMaxDimensions)
    throw Error(place_, "the plugin says that it has " + std::to_string(count) + " dimensions");
  std::vector<std::string> dimensions;
  std::set<std::string> seen;
  for (uint32_t k = 0; k < count; ++k) {
    const char* name = called("dimension_name", [&] { return reward_->dimension_name(reward_, k); });
    if (name == nullptr || *name == '\0' || !is_clean_text(name) || !seen.insert(name).second)
      throw Error(place_, "the plugin gives dimension " + std::to_string(k) +
                              " a name that is empty, "
                              "not UTF-8 or taken");
    dimensions.emplace_back(name);
  }
  return dimensions;
}

const thalweg_plugin_gradient* PluginInstance::gradient() {
  const std::lock_guard lock(library_.main_thread());
  const auto* gradient = static_cast<const thalweg_plugin_gradient*>(
      called("get_extension", [&] { return reward_->get_extension(reward_, THALWEG_EXT_GRADIENT); }));
  if (gradient != nullptr && (gradient->inputs == nullptr || gradient->vjp == nullptr))
    throw Error(place_, "the plugin has a gradient extension with missing functions");
  return gradient;
}

const thalweg_plugin_group* PluginInstance::group() {
  const std::lock_guard lock(library_.main_thread());
  const auto* group = static_cast<const thalweg_plugin_group*>(
      called("get_extension", [&] { return reward_->get_extension(reward_, THALWEG_EXT_GROUP); }));
  if (group != nullptr && group->least == nullptr)
    throw Error(place_, "the plugin has a group extension with missing functions");
  return group;
}

int64_t PluginInstance::least_of_group(const thalweg_plugin_group& group) {
  const int64_t least = called("group.least", [&] { return group.least(reward_); });
  if (least < 2)
    throw Error(place_,
                "the plugin says that it compares groups of " + std::to_string(least) + "; the least is 2");
  return least;
}

uint64_t PluginInstance::gradient_inputs(const thalweg_plugin_gradient& gradient) {
  return called("gradient.inputs", [&] { return gradient.inputs(reward_); });
}

std::string PluginInstance::failure_of(const char* function, const std::function<thalweg_status()>& call) {
  host_.clear();
  thalweg_status status = THALWEG_INTERNAL;
  auto end = call_library(plugin_, function, [&] { status = call(); });
  changed_.insert(end.put_back.begin(), end.put_back.end());
  if (status == THALWEG_OK) return "";
  auto text = std::move(end.wrong);
  if (text.empty()) text = host_.last_error();
  return status_name(status) + (text.empty() ? "" : ": " + text);
}

std::set<std::string> PluginInstance::take_changes() {
  return std::exchange(changed_, {});
}

}  // namespace thalweg
