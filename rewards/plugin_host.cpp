#include "rewards/plugin_host.h"

#include <cstring>
#include <utility>

#include "rewards/text.h"

namespace thalweg {

PluginHost::PluginHost(std::string plugin, RewardLog log)
    : plugin_(std::move(plugin)),
      log_(std::move(log)),
      table_{THALWEG_ABI_VERSION_INIT, this, "thalweg", "0.1.0", &get_extension, &set_error} {}

std::string PluginHost::last_error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void PluginHost::clear_error() {
  const std::lock_guard lock(mutex_);
  error_.clear();
}

const void* PluginHost::get_extension(const thalweg_host*, const char* id) {
  static const thalweg_host_log kLog = {&PluginHost::log};
  return id != nullptr && std::strcmp(id, THALWEG_EXT_LOG) == 0 ? &kLog : nullptr;
}

// The two below are called by foreign code, so nothing may be thrown out of them.
void PluginHost::set_error(const thalweg_host* host, thalweg_status, const char* message) {
  auto& self = *static_cast<PluginHost*>(host->host_data);
  try {
    const std::lock_guard lock(self.mutex_);
    self.error_ = clean_text(message);
  } catch (...) {  // out of memory: the status still tells
  }
}

void PluginHost::log(const thalweg_host* host, thalweg_log_severity severity, const char* message) {
  auto& self = *static_cast<PluginHost*>(host->host_data);
  try {
    if (self.log_) self.log_(severity, self.plugin_, clean_text(message));
  } catch (...) {  // a line that cannot be written is lost
  }
}

std::string status_name(thalweg_status status) {
  switch (status) {
    case THALWEG_OK:
      return "ok";
    case THALWEG_INVALID_ARGUMENT:
      return "invalid argument";
    case THALWEG_UNSUPPORTED:
      return "unsupported";
    case THALWEG_OUT_OF_MEMORY:
      return "out of memory";
    case THALWEG_DEVICE:
      return "device failure";
    case THALWEG_UNAVAILABLE:
      return "unavailable";
    case THALWEG_INTERNAL:
      return "internal failure";
    default:
      return "unknown status " + std::to_string(status);
  }
}

}  // namespace thalweg
