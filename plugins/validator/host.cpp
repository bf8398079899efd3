#include "plugins/validator/host.h"

#include <algorithm>
#include <cstring>

#include "rewards/text.h"

namespace thalweg::validator {

void Observations::add(const std::string& clause, const std::string& text) {
  const std::lock_guard lock(mutex_);
  seen_.emplace_back(clause, text);
}

std::vector<std::pair<std::string, std::string>> Observations::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(seen_, {});
}

Host::Host(Observations& observations)
    : observations_(observations), table_{THALWEG_ABI_VERSION_INIT, this,      "thalweg", "0.1.0",
                                          &get_extension,           &set_error} {}

std::string Host::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

const void* Host::get_extension(const thalweg_host* host, const char* id) {
  static const thalweg_host_log kLog = {&Host::log};
  auto& self = *static_cast<Host*>(host->host_data);
  if (!self.initialised)
    self.observations_.add("host.not-before-init", "get_extension was called before init");
  static const thalweg_host_note kNote = {&Host::not_scored};
  if (id == nullptr) return nullptr;
  if (std::strcmp(id, THALWEG_EXT_LOG) == 0) return &kLog;
  return std::strcmp(id, THALWEG_EXT_NOTE) == 0 ? &kNote : nullptr;
}

void Host::set_error(const thalweg_host* host, thalweg_status status, const char* message) {
  auto& self = *static_cast<Host*>(host->host_data);
  std::string text = message == nullptr ? "" : message;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  if (text.empty() || !is_clean_text(text))
    self.observations_.add("errors.text", "set_error was given a text that is empty or not clean UTF-8");
  if (status >= THALWEG_OK || status < THALWEG_INTERNAL)
    self.observations_.add("errors.status", "set_error was given the status " + std::to_string(status));
  const std::lock_guard lock(self.mutex_);
  self.text_ = clean_text(message);
  ++self.set_error_calls_;
}

void Host::log(const thalweg_host* host, thalweg_log_severity severity, const char* message) {
  auto& self = *static_cast<Host*>(host->host_data);
  if (severity < THALWEG_LOG_DEBUG || severity > THALWEG_LOG_PLUGIN_MISBEHAVING)
    self.observations_.add("host.log-lines", "a line has the severity " + std::to_string(severity));
  if (message == nullptr || !is_clean_text(message))
    self.observations_.add("host.log-lines", "a line is not clean UTF-8 without a newline");
}

void Host::not_scored(const thalweg_host* host, uint32_t index, const char* reason) {
  auto& self = *static_cast<Host*>(host->host_data);
  if (index >= self.batch)
    self.observations_.add("host.notes", "a note is of sample " + std::to_string(index) + " of a call for " +
                                             std::to_string(self.batch));
  if (reason == nullptr || clean_text(reason).empty())
    self.observations_.add("host.notes", "a note says nothing");
}

}  // namespace thalweg::validator
