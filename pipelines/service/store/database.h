// One connection to a SQLite file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace thalweg::service {

/// What a column may hold: nothing, a number, a text.
using Cell = std::variant<std::monostate, int64_t, std::string>;

inline Cell cell(const std::optional<int64_t>& value) {
  return value ? Cell(*value) : Cell();
}
inline Cell cell(const std::optional<std::string>& value) {
  return value ? Cell(*value) : Cell();
}

/// The row on which a query stands; columns count from 0.
class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t number(int column) const;
  std::string text(int column) const;
  std::optional<int64_t> maybe_number(int column) const;
  std::optional<std::string> maybe_text(int column) const;
  /// All columns as they are.
  std::vector<Cell> cells() const;

 private:
  sqlite3_stmt* statement_;
};

class Database {
 public:
  /// Write-ahead log, synchronous FULL: what was committed survives a power cut. `read_only` sees what others
  /// commit. Throws IoError naming the file.
  Database(std::filesystem::path path, bool read_only);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs one statement, with `cells` in place of its question marks; calls `each` for its rows. Throws
  /// IoError.
  void run(const std::string& sql, const std::vector<Cell>& cells = {},
           const std::function<void(const Row&)>& each = {});
  /// Several statements, without parameters.
  void script(const std::string& sql);
  int64_t last_number() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  sqlite3_stmt* prepared(const std::string& sql);
  [[noreturn]] void fail(const std::string& action) const;

  std::filesystem::path path_;
  sqlite3* connection_ = nullptr;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
};

}  // namespace thalweg::service
