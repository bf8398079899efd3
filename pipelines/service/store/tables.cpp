#include "pipelines/service/store/tables.h"

#include "engine/core/error.h"

namespace thalweg::service {
namespace {

constexpr const char* kTables = R"sql(
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, wish TEXT NOT NULL, lane TEXT NOT NULL,
  priority INTEGER NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER,
  attempts INTEGER NOT NULL, faults INTEGER NOT NULL, job TEXT NOT NULL, request TEXT, metadata TEXT NOT NULL,
  error TEXT, process INTEGER, process_start INTEGER) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, lane, priority DESC, number);
CREATE TABLE events (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES jobs (id), created_at INTEGER NOT NULL,
  level TEXT NOT NULL, type TEXT NOT NULL, message TEXT NOT NULL, data TEXT) STRICT;
CREATE INDEX events_by_job ON events (job, number);
CREATE TABLE keys (key TEXT PRIMARY KEY, job TEXT NOT NULL, body_sha256 TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;
CREATE TABLE files (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL, filename TEXT NOT NULL,
  purpose TEXT NOT NULL, bytes INTEGER NOT NULL, created_at INTEGER NOT NULL) STRICT;
)sql";

const std::string kJobColumns =
    "number, id, state, wish, lane, priority, created_at, started_at, finished_at, attempts, faults, job, "
    "request, "
    "metadata, error, process, process_start";

std::optional<std::string> text_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json json_of(const std::optional<std::string>& text) {
  return text ? parse_json(*text, "the store") : Json();
}

JobRow job_of(const Row& row) {
  return {row.number(0),
          row.text(1),
          state_of(row.text(2)),
          wish_of(row.text(3)),
          lane_of(row.text(4)),
          row.number(5),
          row.number(6),
          row.maybe_number(7),
          row.maybe_number(8),
          row.number(9),
          row.number(10),
          json_of(row.maybe_text(11)),
          json_of(row.maybe_text(12)),
          json_of(row.maybe_text(13)),
          json_of(row.maybe_text(14)),
          row.maybe_number(15),
          row.maybe_number(16)};
}

EventRow event_of(const Row& row) {
  return {row.number(0),
          row.text(1),
          row.number(2),
          row.text(3),
          row.text(4),
          row.text(5),
          json_of(row.maybe_text(6))};
}

std::vector<EventRow> events(Database& database, const std::string& where, const std::vector<Cell>& cells) {
  std::vector<EventRow> rows;
  database.run("SELECT number, job, created_at, level, type, message, data FROM events WHERE " + where, cells,
               [&](const Row& row) { rows.push_back(event_of(row)); });
  return rows;
}

FileRow file_of(const Row& row) {
  return {row.text(0), row.text(1), row.text(2), row.text(3), row.number(4), row.number(5)};
}

}  // namespace

void make_tables(Database& database) {
  int64_t version = 0;
  std::string damage;
  database.run("PRAGMA user_version", {}, [&](const Row& row) { version = row.number(0); });
  if (version > kStoreVersion)
    throw Error(database.path(), "is of version " + std::to_string(version) + "; this program knows " +
                                     std::to_string(kStoreVersion) + ": run the newer one");
  database.run("PRAGMA quick_check(1)", {}, [&](const Row& row) { damage = row.text(0); });
  if (damage != "ok")
    throw Error(database.path(), "is damaged (" + damage + "): `thalweg doctor --store " +
                                     database.path().parent_path().string() +
                                     " --repair` makes it anew from the jobs' folders and what can be read");
  if (version == kStoreVersion) return;
  database.script("BEGIN IMMEDIATE;" + std::string(kTables) +
                  "PRAGMA user_version = " + std::to_string(kStoreVersion) + "; COMMIT;");
}

void insert_job(Database& database, const JobRow& row) {
  database.run(
      "INSERT INTO jobs (" + kJobColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      {row.number > 0 ? Cell(row.number) : Cell(), row.id, name_of(row.state), name_of(row.wish),
       name_of(row.lane), row.priority, row.created_at, cell(row.started_at), cell(row.finished_at),
       row.attempts, row.faults, *text_of(row.job), cell(text_of(row.request)), *text_of(row.metadata),
       cell(text_of(row.error)), cell(row.process), cell(row.process_start)});
}

void update_job(Database& database, const JobRow& row) {
  database.run(
      "UPDATE jobs SET state = ?, wish = ?, priority = ?, started_at = ?, finished_at = ?, attempts = ?, "
      "faults = ?, "
      "error = ?, process = ?, process_start = ? WHERE id = ?",
      {name_of(row.state), name_of(row.wish), row.priority, cell(row.started_at), cell(row.finished_at),
       row.attempts, row.faults, cell(text_of(row.error)), cell(row.process), cell(row.process_start),
       row.id});
}

std::optional<JobRow> find_job(Database& database, const std::string& id) {
  std::optional<JobRow> found;
  database.run("SELECT " + kJobColumns + " FROM jobs WHERE id = ?", {id},
               [&](const Row& row) { found = job_of(row); });
  return found;
}

std::vector<JobRow> find_jobs(Database& database, const JobFilter& filter) {
  std::string sql = "SELECT " + kJobColumns + " FROM jobs WHERE 1";
  std::vector<Cell> cells;
  if (!filter.states.empty()) {
    sql += " AND state IN (";
    for (const auto state : filter.states) {
      sql += cells.empty() ? "?" : ", ?";
      cells.emplace_back(name_of(state));
    }
    sql += ")";
  }
  if (filter.lane) {
    sql += " AND lane = ?";
    cells.emplace_back(name_of(*filter.lane));
  }
  if (!filter.after.empty()) {
    sql += " AND number < (SELECT number FROM jobs WHERE id = ?)";
    cells.emplace_back(filter.after);
  }
  for (const auto& [name, value] : filter.metadata) {
    sql +=
        " AND EXISTS (SELECT 1 FROM json_each(jobs.metadata) WHERE json_each.key = ? AND json_each.value = "
        "?)";
    cells.emplace_back(name);
    cells.emplace_back(value);
  }
  sql += filter.in_queue_order ? " ORDER BY priority DESC, number" : " ORDER BY number DESC";
  sql += " LIMIT ?";
  cells.emplace_back(filter.limit);
  std::vector<JobRow> rows;
  database.run(sql, cells, [&](const Row& row) { rows.push_back(job_of(row)); });
  return rows;
}

int64_t count_jobs(Database& database, State state) {
  int64_t count = 0;
  database.run("SELECT count(*) FROM jobs WHERE state = ?", {name_of(state)},
               [&](const Row& row) { count = row.number(0); });
  return count;
}

std::vector<std::string> queue_of(Database& database, Lane lane) {
  std::vector<std::string> ids;
  database.run("SELECT id FROM jobs WHERE state = 'queued' AND lane = ? ORDER BY priority DESC, number",
               {name_of(lane)}, [&](const Row& row) { ids.push_back(row.text(0)); });
  return ids;
}

int64_t insert_event(Database& database, const EventRow& row) {
  database.run("INSERT INTO events (job, created_at, level, type, message, data) VALUES (?, ?, ?, ?, ?, ?)",
               {row.job, row.created_at, row.level, row.type, row.message, cell(text_of(row.data))});
  return database.last_number();
}

std::vector<EventRow> events_after(Database& database, const std::string& job, int64_t after, int64_t limit) {
  return events(database, "job = ? AND number > ? ORDER BY number LIMIT ?", {job, after, limit});
}

std::vector<EventRow> events_before(Database& database, const std::string& job, int64_t before,
                                    int64_t limit) {
  if (before == 0) return events(database, "job = ? ORDER BY number DESC LIMIT ?", {job, limit});
  return events(database, "job = ? AND number < ? ORDER BY number DESC LIMIT ?", {job, before, limit});
}

std::optional<KeptKey> find_key(Database& database, const std::string& key) {
  std::optional<KeptKey> found;
  database.run("SELECT job, body_sha256 FROM keys WHERE key = ?", {key}, [&](const Row& row) {
    found = KeptKey{row.text(0), row.text(1)};
  });
  return found;
}

void insert_key(Database& database, const std::string& key, const KeptKey& kept, int64_t created_at) {
  database.run("INSERT INTO keys (key, job, body_sha256, created_at) VALUES (?, ?, ?, ?)",
               {key, kept.job, kept.body_sha256, created_at});
}

void insert_file(Database& database, const FileRow& row) {
  database.run(
      "INSERT INTO files (id, sha256, filename, purpose, bytes, created_at) VALUES (?, ?, ?, ?, ?, ?)",
      {row.id, row.sha256, row.filename, row.purpose, row.bytes, row.created_at});
}

std::optional<FileRow> find_file(Database& database, const std::string& id) {
  std::optional<FileRow> found;
  database.run("SELECT id, sha256, filename, purpose, bytes, created_at FROM files WHERE id = ?", {id},
               [&](const Row& row) { found = file_of(row); });
  return found;
}

std::vector<FileRow> find_files(Database& database, const FileFilter& filter) {
  std::vector<FileRow> rows;
  const std::string later = filter.oldest_first ? ">" : "<", order = filter.oldest_first ? "" : " DESC";
  database.run(
      "SELECT id, sha256, filename, purpose, bytes, created_at FROM files WHERE (?1 = '' OR number " + later +
          " (SELECT number FROM files WHERE id = ?1)) AND (?2 = '' OR purpose = ?2) ORDER BY number" + order +
          " LIMIT ?3",
      {filter.after, filter.purpose, filter.limit}, [&](const Row& row) { rows.push_back(file_of(row)); });
  return rows;
}

int64_t remove_file(Database& database, const FileRow& row) {
  database.run("DELETE FROM files WHERE id = ?", {row.id});
  int64_t left = 0;
  database.run("SELECT count(*) FROM files WHERE sha256 = ?", {row.sha256},
               [&](const Row& found) { left = found.number(0); });
  return left;
}

}  // namespace thalweg::service
