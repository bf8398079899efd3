#include "pipelines/service/store/repair.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <set>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "pipelines/service/store/manifest.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostAbsent = 20'000;  // rows in a row, where the last number cannot be read
constexpr int64_t kMostDamage = 5;
constexpr int64_t kLeastRow = 8;  // bytes

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) all.push_back(entry.path());
  return all;
}

/// Null where not even its head can be read.
std::unique_ptr<Database> opened(const fs::path& path) {
  try {
    auto database = std::make_unique<Database>(path, /*read_only=*/true);
    database->run("SELECT count(*) FROM sqlite_schema");
    return database;
  } catch (const IoError&) {
    return nullptr;
  }
}

/// Every row of a table that can be read, one by one: a page that is gone takes its own rows alone.
void each_row(Database& database, const std::string& table,
              const std::function<void(const std::vector<Cell>&)>& each) {
  int64_t last = 0;
  try {
    database.run("SELECT max(rowid) FROM " + table, {}, [&](const Row& row) { last = row.number(0); });
    database.run("SELECT seq FROM sqlite_sequence WHERE name = ?", {table},
                 [&](const Row& row) { last = std::max(last, row.number(0)); });
  } catch (const IoError&) {
    last = 0;
  }
  last = std::min(last,
                  static_cast<int64_t>(fs::file_size(database.path())) / kLeastRow);  // it may be damaged too
  int64_t absent = 0;
  for (int64_t number = 1; last > 0 ? number <= last : absent < kMostAbsent; ++number) {
    ++absent;
    try {
      database.run("SELECT * FROM " + table + " WHERE rowid = ?", {number}, [&](const Row& row) {
        absent = 0;
        each(row.cells());
      });
    } catch (const std::exception&) {  // this row is lost
    }
  }
}

std::string marks(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += i == 0 ? "?" : ", ?";
  return text;
}

/// Copies what fits the new table: a row whose job is lost, or whose values are none, does not.
int64_t copy_rows(Database& from, Database& to, const std::string& table,
                  const std::function<void(const std::vector<Cell>&)>& check) {
  int64_t copied = 0;
  each_row(from, table, [&](const std::vector<Cell>& cells) {
    to.run("SAVEPOINT row");
    try {
      to.run("INSERT INTO " + table + " VALUES (" + marks(cells.size()) + ")", cells);
      check(cells);
      ++copied;
    } catch (const std::exception&) {
      to.run("ROLLBACK TO row");
    }
    to.run("RELEASE row");
  });
  return copied;
}

const std::string& text_of(const std::vector<Cell>& cells, size_t column) {
  return std::get<std::string>(cells.at(column));
}

void fill(Database& to, const fs::path& folder, Database* from, StoreRepair& done) {
  for (const auto& job : entries(folder / "jobs")) {
    const auto row = read_manifest(job);
    if (!row || row->id != job.filename()) continue;
    try {
      insert_job(to, *row);
      ++done.jobs_of_manifests;
    } catch (const IoError&) {  // a number that another has
    }
  }
  if (from == nullptr) return;
  done.jobs_of_table =
      copy_rows(*from, to, "jobs", [&](const std::vector<Cell>& cells) { find_job(to, text_of(cells, 1)); });
  done.events = copy_rows(*from, to, "events", [&](const std::vector<Cell>& cells) {
    events_after(to, text_of(cells, 1), std::get<int64_t>(cells.at(0)) - 1, 1);
  });
  done.files = copy_rows(*from, to, "files", [&](const std::vector<Cell>& cells) {
    if (!fs::exists(folder / "files" / text_of(cells, 2))) throw IoError(folder, "a file's bytes are gone");
  });
  done.keys = copy_rows(*from, to, "keys", [](const std::vector<Cell>&) {});
}

int64_t files_without_row(Database& database, const fs::path& folder) {
  std::set<std::string> known;
  database.run("SELECT sha256 FROM files", {}, [&](const Row& row) { known.insert(row.text(0)); });
  int64_t count = 0;
  for (const auto& file : entries(folder / "files")) count += known.contains(file.filename()) ? 0 : 1;
  return count;
}

/// The tables' files: the log belongs to them.
void move_tables(const fs::path& from, const fs::path& to) {
  for (const char* ending : {"", "-wal", "-shm"}) {
    std::error_code code;
    fs::rename(from.string() + ending, to.string() + ending, code);
    if (code && code != std::errc::no_such_file_or_directory)
      throw_io_error(from.string() + ending, "cannot be moved", code.value());
  }
}

}  // namespace

StoreHealth examine_store(const fs::path& folder) {
  StoreHealth health;
  const auto path = folder / kStoreFile;
  std::set<std::string> listed;
  const auto database = opened(path);
  if (!fs::exists(path)) {
    health.damage.push_back("there is no " + path.string());
  } else if (database == nullptr) {
    health.damage.push_back(path.string() + " is no database that can be read");
  } else {
    try {
      database->run("PRAGMA integrity_check(" + std::to_string(kMostDamage) + ")", {}, [&](const Row& row) {
        if (row.text(0) != "ok") health.damage.push_back(row.text(0));
      });
    } catch (const IoError& e) {
      health.damage.push_back(e.message());
    }
    each_row(*database, "jobs", [&](const std::vector<Cell>& cells) { listed.insert(text_of(cells, 1)); });
  }
  health.jobs = static_cast<int64_t>(listed.size());
  for (const auto& job : entries(folder / "jobs"))
    if (!listed.contains(job.filename()) && read_manifest(job)) ++health.unlisted;
  return health;
}

StoreRepair repair_store(const fs::path& folder) {
  StoreRepair done;
  const auto path = folder / kStoreFile;
  const fs::path fresh = path.string() + ".new";
  for (const char* ending : {"", "-wal", "-shm"}) fs::remove(fresh.string() + ending);
  {
    const auto from = fs::exists(path) ? opened(path) : nullptr;
    Database to(fresh, /*read_only=*/false);
    make_tables(to);
    to.run("BEGIN IMMEDIATE");
    fill(to, folder, from.get(), done);
    to.run("COMMIT");
    done.files_without_row = files_without_row(to, folder);
    to.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  for (int number = 1; done.kept.empty() || fs::exists(done.kept); ++number)
    done.kept = path.string() + ".damaged-" + std::to_string(number);
  if (fs::exists(path)) move_tables(path, done.kept);
  move_tables(fresh, path);
  sync_path(folder);
  return done;
}

}  // namespace thalweg::service
