// What a clause finds out, and the host's tables, watched.
#pragma once

#include <thalweg/ext/log.h>
#include <thalweg/ext/note.h>
#include <thalweg/host.h>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace thalweg::validator {

/// The clause being tried is broken.
struct Breach : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The clause does not apply.
struct Skip : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline void require(bool kept, const std::string& otherwise) {
  if (!kept) throw Breach(otherwise);
}

/// Breaches of clauses that hold during every call: clause id and what was seen. [any thread]
class Observations {
 public:
  void add(const std::string& clause, const std::string& text);
  std::vector<std::pair<std::string, std::string>> take();

 private:
  std::mutex mutex_;
  std::vector<std::pair<std::string, std::string>> seen_;
};

/// The host's tables, watched.
class Host {
 public:
  explicit Host(Observations& observations);
  const thalweg_host* table() const { return &table_; }
  void clear() { set_error_calls_ = 0; }
  bool explained() const { return set_error_calls_ > 0; }
  std::string text() const;
  std::atomic<bool> initialised{false};
  std::atomic<uint32_t> batch{0};  // of the score that runs

 private:
  static const void* get_extension(const thalweg_host* host, const char* id);
  static void set_error(const thalweg_host* host, thalweg_status status, const char* message);
  static void log(const thalweg_host* host, thalweg_log_severity severity, const char* message);
  static void not_scored(const thalweg_host* host, uint32_t index, const char* reason);

  Observations& observations_;
  thalweg_host table_;
  mutable std::mutex mutex_;
  std::string text_;
  std::atomic<int> set_error_calls_{0};
};

}  // namespace thalweg::validator
