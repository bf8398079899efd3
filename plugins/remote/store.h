// The file that a remote reward keeps: answers (see Cache) and what was spent (see Budget), in SQLite.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace remote {

/// One connection; several processes may have the same file open. Every call throws StoreError.
class Store {
 public:
  using Value = std::variant<int64_t, double, std::string_view>;  // texts are bound as blobs

  /// "": in memory. Throws thalweg::Error at "/cache/file" for a file that is something else.
  explicit Store(const std::filesystem::path& file);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Runs one statement; `row` is called with each row. Returns how many rows it changed. [any thread]
  template <class Row>
  int run(const char* sql, std::initializer_list<Value> values, Row&& row) {
    const std::lock_guard lock(mutex_);
    const Statement statement(*this, sql, values);
    while (statement.step()) row(statement.get());
    return sqlite3_changes(connection_);
  }
  int run(const char* sql, std::initializer_list<Value> values = {}) {
    return run(sql, values, [](sqlite3_stmt*) {});
  }

 private:
  class Statement {
   public:
    Statement(Store& store, const char* sql, std::initializer_list<Value> values);
    ~Statement() { sqlite3_finalize(statement_); }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;
    bool step() const;
    sqlite3_stmt* get() const { return statement_; }

   private:
    Store& store_;
    sqlite3_stmt* statement_ = nullptr;
  };

  [[noreturn]] void fail() const;

  sqlite3* connection_ = nullptr;
  std::mutex mutex_;
};

class StoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Column `index` of a row, as bytes.
std::string_view bytes_of(sqlite3_stmt* row, int index);

}  // namespace remote
