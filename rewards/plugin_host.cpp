#include "rewards/plugin_host.h"

#include <cstring>
#include <utility>

#include "rewards/text.h"

namespace thalweg {
namespace {

constexpr uint32_t kMostNotes = 1 << 20;  // no batch is larger

}  // namespace

PluginHost::PluginHost(std::string plugin, RewardLog log)
    : plugin_(std::move(plugin)),
      log_(std::move(log)),
      table_{THALWEG_ABI_VERSION_INIT, this, "thalweg", "0.1.0", &get_extension, &set_error} {}

std::string PluginHost::last_error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

std::map<uint32_t, std::string> PluginHost::notes() const {
  const std::lock_guard lock(mutex_);
  return notes_;
}

void PluginHost::clear() {
  const std::lock_guard lock(mutex_);
  error_.clear();
  notes_.clear();
}

const void* PluginHost::get_extension(const thalweg_host*, const char* id) {
  static const thalweg_host_log kLog = {&PluginHost::log};
  static const thalweg_host_note kNote = {&PluginHost::not_scored};
  if (id == nullptr) return nullptr;
  if (std::strcmp(id, THALWEG_EXT_LOG) == 0) return &kLog;
  return std::strcmp(id, THALWEG_EXT_NOTE) == 0 ? &kNote : nullptr;
}

// Those below are called by foreign code, so nothing may be thrown out of them.
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

// A number beyond the batch is a note of no sample.
void PluginHost::not_scored(const thalweg_host* host, uint32_t index, const char* reason) {
  auto& self = *static_cast<PluginHost*>(host->host_data);
  try {
    const std::lock_guard lock(self.mutex_);
    if (index < kMostNotes) self.notes_[index] = clean_text(reason);
  } catch (...) {  // the sample is not scored all the same
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
