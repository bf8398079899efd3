// What the store keeps: jobs, what happened to them, files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "pipelines/service/jobs/state.h"
#include "pipelines/service/store/database.h"

namespace thalweg::service {

/// The version of these tables; a store of a later one is refused.
inline constexpr int64_t kStoreVersion = 1;

/// Makes the tables of a new file. Throws Error for a store of another version, or one that is damaged.
void make_tables(Database& database);

/// One job; times in seconds since 1970.
struct JobRow {
  int64_t number = 0;  ///< in order of submission, from 1
  std::string id = {};
  State state = State::queued;
  Wish wish = Wish::none;
  Lane lane = Lane::batch;
  int64_t priority = 0;  ///< higher runs first
  int64_t created_at = 0;
  std::optional<int64_t> started_at = {}, finished_at = {};
  int64_t attempts = 0;  ///< runs that were begun
  int64_t faults = 0;    ///< runs that the machine ended
  Json job = {};         ///< as it runs
  Json request = {};     ///< null, or the fine-tuning request that it came from
  Json metadata = {};    ///< of the client: texts by name
  Json error = {};       ///< null, or code, message, param
  std::optional<int64_t> process = {},
                         process_start = {};  ///< of the run: its id, and when it began by the kernel's clock
};

/// Throws Error where the id is taken. `number` 0: the next.
void insert_job(Database& database, const JobRow& row);
std::optional<JobRow> find_job(Database& database, const std::string& id);

struct JobFilter {
  std::vector<State> states = {};  ///< empty: any
  std::optional<Lane> lane = {};
  std::string after = {};  ///< an id: those submitted before it
  std::vector<std::pair<std::string, std::string>> metadata = {};
  int64_t limit = 20;
  bool in_queue_order = false;  ///< by priority, then oldest first; else newest first
};
std::vector<JobRow> find_jobs(Database& database, const JobFilter& filter);
int64_t count_jobs(Database& database, State state);
/// The ids of a lane's queue, the next first.
std::vector<std::string> queue_of(Database& database, Lane lane);

/// What may change of a job.
void update_job(Database& database, const JobRow& row);

/// Something that happened to a job.
struct EventRow {
  int64_t number = 0;  ///< strictly increasing over all jobs
  std::string job = {};
  int64_t created_at = 0;
  std::string level = "info";    ///< info, warn, error
  std::string type = "message";  ///< message, status, metrics, checkpoint, sample
  std::string message = {};
  Json data = {};  ///< an object, or null
};
int64_t insert_event(Database& database, const EventRow& row);
/// Of one job, those after a number, oldest first.
std::vector<EventRow> events_after(Database& database, const std::string& job, int64_t after, int64_t limit);
/// The newest, newest first; `before` 0: from the last on.
std::vector<EventRow> events_before(Database& database, const std::string& job, int64_t before,
                                    int64_t limit);

/// An Idempotency-Key that was used: for which job, by which body.
struct KeptKey {
  std::string job, body_sha256;
};
std::optional<KeptKey> find_key(Database& database, const std::string& key);
void insert_key(Database& database, const std::string& key, const KeptKey& kept, int64_t created_at);

/// A file from outside: its bytes lie in the store's folder under their hash.
struct FileRow {
  std::string id, sha256, filename, purpose;
  int64_t bytes = 0, created_at = 0;
};
void insert_file(Database& database, const FileRow& row);
std::optional<FileRow> find_file(Database& database, const std::string& id);
struct FileFilter {
  std::string after = {};    ///< an id: those that come after it in the list
  std::string purpose = {};  ///< empty: any
  bool oldest_first = false;
  int64_t limit = 20;
};
std::vector<FileRow> find_files(Database& database, const FileFilter& filter);
/// Returns how many files still have the same bytes.
int64_t remove_file(Database& database, const FileRow& row);

}  // namespace thalweg::service
