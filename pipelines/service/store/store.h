// A folder that holds all that the service knows: one writer, one reader, one server at a time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/descriptor.h"
#include "pipelines/service/store/bell.h"
#include "pipelines/service/store/tables.h"
#include "pipelines/service/store/writer.h"

namespace thalweg::service {

/// Seconds since 1970.
int64_t now();

/// `prefix` and 24 characters that no one guesses.
std::string new_id(const std::string& prefix);

/// The file in a store's folder that holds the tables.
inline constexpr const char* kStoreFile = "store.sqlite";

/// Held until the process ends, however it does. Throws Error where another process holds it, naming that
/// one.
Descriptor lock_store(const std::filesystem::path& folder);

class Store {
 public:
  /// Makes the folder where there is none. Throws as lock_store() does.
  Store(std::filesystem::path folder, boost::asio::io_context& context);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path job_folder(const std::string& id) const { return folder_ / "jobs" / id; }
  std::filesystem::path run_folder(const std::string& id) const { return job_folder(id) / "run"; }
  std::filesystem::path file_path(const std::string& sha256) const { return folder_ / "files" / sha256; }
  std::filesystem::path uploads() const { return folder_ / "uploads"; }

  std::filesystem::path plugins() const { return folder_ / "plugins"; }
  /// The library of a reward that was loaded; none: no such was.
  std::optional<std::filesystem::path> loaded_plugin(const std::string& name) const;

  /// result.json of a job's run; null where there is none.
  Json run_result(const std::string& id) const;

  Database& read() { return reader_; }
  Bell& bell() { return bell_; }
  /// Throws ApiError (404) for an id that is none.
  JobRow job(const std::string& id);

  /// How many stand before a queued job in its lane; none for one that is not queued.
  std::optional<int64_t> queue_position(const JobRow& row);

  /// Returns once it is on the disk.
  boost::asio::awaitable<void> write(Writer::Work work) { return writer_.write(std::move(work)); }

  /// What a change adds to what is known of a job.
  using Events = std::vector<EventRow>;
  using Change = std::function<void(JobRow&, Events&)>;
  /// Changes a job as it is at that moment, and tells of it: `change` may throw ApiError, which changes
  /// nothing. A state that may not follow the one before is a 409. Returns the job as it then is.
  boost::asio::awaitable<JobRow> change(std::string id, Change change);
  /// Events alone.
  boost::asio::awaitable<void> tell(Events events);

 private:
  std::filesystem::path folder_;
  Descriptor lock_;
  Writer writer_;
  Database reader_;
  Bell bell_;
  // Of all queued jobs, as of so many rings and submissions.
  std::unordered_map<std::string, int64_t> positions_;
  std::optional<uint64_t> positions_at_;
};

}  // namespace thalweg::service
