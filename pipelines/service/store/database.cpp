#include "pipelines/service/store/database.h"

#include <sqlite3.h>

#include <utility>

#include "engine/core/error.h"

namespace thalweg::service {
namespace {

constexpr int kBusyMs = 10'000;

/// Leaves the statement free for its next use, whatever is thrown.
struct Reset {
  sqlite3_stmt* statement;
  ~Reset() {
    ::sqlite3_reset(statement);
    ::sqlite3_clear_bindings(statement);
  }
};

void bind(sqlite3_stmt* statement, int place, const Cell& cell) {
  if (const auto* number = std::get_if<int64_t>(&cell)) {
    ::sqlite3_bind_int64(statement, place, *number);
  } else if (const auto* text = std::get_if<std::string>(&cell)) {
    ::sqlite3_bind_text64(statement, place, text->data(), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }  // else it stays null
}

}  // namespace

int64_t Row::number(int column) const {
  return ::sqlite3_column_int64(statement_, column);
}

std::string Row::text(int column) const {
  const auto* bytes = ::sqlite3_column_text(statement_, column);
  if (bytes == nullptr) return {};
  return {reinterpret_cast<const char*>(bytes),
          static_cast<size_t>(::sqlite3_column_bytes(statement_, column))};
}

std::optional<int64_t> Row::maybe_number(int column) const {
  if (::sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return number(column);
}

std::optional<std::string> Row::maybe_text(int column) const {
  if (::sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return text(column);
}

std::vector<Cell> Row::cells() const {
  std::vector<Cell> all;
  for (int column = 0; column < ::sqlite3_column_count(statement_); ++column)
    all.push_back(::sqlite3_column_type(statement_, column) == SQLITE_INTEGER ? Cell(number(column))
                                                                              : cell(maybe_text(column)));
  return all;
}

Database::Database(std::filesystem::path path, bool read_only) : path_(std::move(path)) {
  const int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  if (::sqlite3_open_v2(path_.c_str(), &connection_, flags, nullptr) != SQLITE_OK) {
    const std::string reason = connection_ != nullptr ? ::sqlite3_errmsg(connection_) : "no memory";
    ::sqlite3_close_v2(connection_);
    throw IoError(path_, "cannot be opened: " + reason);
  }
  ::sqlite3_extended_result_codes(connection_, 1);
  ::sqlite3_busy_timeout(connection_, kBusyMs);
  if (!read_only) script("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) ::sqlite3_finalize(statement);
  ::sqlite3_close_v2(connection_);
}

void Database::fail(const std::string& action) const {
  throw IoError(path_, action + ": " + ::sqlite3_errmsg(connection_));
}

sqlite3_stmt* Database::prepared(const std::string& sql) {
  auto& statement = statements_[sql];
  if (statement == nullptr &&
      ::sqlite3_prepare_v3(connection_, sql.c_str(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                           &statement, nullptr) != SQLITE_OK) {
    statements_.erase(sql);
    fail("cannot be asked");
  }
  return statement;
}

void Database::run(const std::string& sql, const std::vector<Cell>& cells,
                   const std::function<void(const Row&)>& each) {
  auto* statement = prepared(sql);
  const Reset reset{statement};
  for (size_t i = 0; i < cells.size(); ++i) bind(statement, static_cast<int>(i + 1), cells[i]);
  for (;;) {
    const int code = ::sqlite3_step(statement);
    if (code == SQLITE_DONE) return;
    if (code != SQLITE_ROW) fail("cannot be read or written");
    if (each) each(Row(statement));
  }
}

void Database::script(const std::string& sql) {
  if (::sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    fail("cannot be prepared");
}

int64_t Database::last_number() const {
  return ::sqlite3_last_insert_rowid(connection_);
}

}  // namespace thalweg::service
