#include "store.h"

#include "engine/core/error.h"

namespace remote {
namespace {

constexpr int kWaitMilliseconds = 30000;  // for another process that writes
constexpr int64_t kApplication = 0x54684C67, kForm = 1;

int64_t pragma(Store& store, const char* sql) {
  int64_t value = 0;
  store.run(sql, {}, [&](sqlite3_stmt* row) { value = sqlite3_column_int64(row, 0); });
  return value;
}

}  // namespace

Store::Store(const std::filesystem::path& file) {
  const std::string name = file.empty() ? ":memory:" : file.string();
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  try {
    if (sqlite3_open_v2(name.c_str(), &connection_, flags, nullptr) != SQLITE_OK) fail();
    sqlite3_busy_timeout(connection_, kWaitMilliseconds);
    const auto tables = pragma(*this, "SELECT count(*) FROM sqlite_master"),
               application = pragma(*this, "PRAGMA application_id"),
               form = pragma(*this, "PRAGMA user_version");
    if (tables > 0 && (application != kApplication || form != kForm))
      throw StoreError("is a database of something else, or of another version");
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = NORMAL");  // a kill loses nothing; a power cut may lose the last answers
    run("PRAGMA application_id = 1416121447");
    run("PRAGMA user_version = 1");
    run("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, scores BLOB NOT NULL, raw BLOB NOT NULL, "
        "used INTEGER NOT NULL) WITHOUT ROWID");
    run("CREATE INDEX IF NOT EXISTS answers_used ON answers (used)");
    run("CREATE TABLE IF NOT EXISTS spent (judge TEXT PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER "
        "NOT NULL, cost REAL NOT NULL) WITHOUT ROWID");
  } catch (const StoreError& e) {
    sqlite3_close(connection_);
    throw thalweg::Error("/cache/file", "\"" + name + "\" cannot be used: " + e.what());
  }
}

Store::~Store() {
  sqlite3_close(connection_);
}

void Store::fail() const {
  throw StoreError(connection_ == nullptr ? "out of memory" : sqlite3_errmsg(connection_));
}

Store::Statement::Statement(Store& store, const char* sql, std::initializer_list<Value> values)
    : store_(store) {
  if (sqlite3_prepare_v2(store.connection_, sql, -1, &statement_, nullptr) != SQLITE_OK) store.fail();
  int at = 0;
  for (const auto& value : values) {
    ++at;
    int code = SQLITE_OK;
    if (const auto* whole = std::get_if<int64_t>(&value))
      code = sqlite3_bind_int64(statement_, at, *whole);
    else if (const auto* number = std::get_if<double>(&value))
      code = sqlite3_bind_double(statement_, at, *number);
    else if (const auto* text = std::get_if<std::string_view>(&value))
      code = sqlite3_bind_blob64(statement_, at, text->data(), text->size(), SQLITE_TRANSIENT);
    if (code == SQLITE_OK) continue;
    sqlite3_finalize(statement_);
    store.fail();
  }
}

bool Store::Statement::step() const {
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) store_.fail();
  return code == SQLITE_ROW;
}

std::string_view bytes_of(sqlite3_stmt* row, int index) {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(row, index));
  return {data == nullptr ? "" : data, static_cast<size_t>(sqlite3_column_bytes(row, index))};
}

}  // namespace remote
