// The host's tables as one plugin instance sees them.
#pragma once

#include <thalweg/ext/log.h>
#include <thalweg/ext/note.h>
#include <thalweg/host.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "rewards/activation.h"

namespace thalweg {

class PluginHost {
 public:
  /// `log` may be empty: lines are then dropped.
  PluginHost(std::string plugin, RewardLog log);
  PluginHost(const PluginHost&) = delete;
  PluginHost& operator=(const PluginHost&) = delete;

  const thalweg_host* table() const { return &table_; }
  /// Text of the last set_error, or "" when there was none since clear().
  std::string last_error() const;
  /// Why samples were not scored, by their place in the call, since clear().
  std::map<uint32_t, std::string> notes() const;
  void clear();

 private:
  static const void* get_extension(const thalweg_host* host, const char* id);
  static void set_error(const thalweg_host* host, thalweg_status status, const char* message);
  static void log(const thalweg_host* host, thalweg_log_severity severity, const char* message);
  static void not_scored(const thalweg_host* host, uint32_t index, const char* reason);

  std::string plugin_;
  RewardLog log_;
  thalweg_host table_;
  mutable std::mutex mutex_;
  std::string error_;
  std::map<uint32_t, std::string> notes_;
};

/// "invalid argument", "out of memory", ... for a status.
std::string status_name(thalweg_status status);

}  // namespace thalweg
