#include "cache.h"

#include <cstring>

namespace remote {
namespace {

constexpr int64_t kAround = 200;  // bytes of a row besides scores and raw text

}  // namespace

Cache::Cache(Store& store, int64_t max_bytes) : store_(store), max_bytes_(max_bytes) {
  store_.run("SELECT coalesce(max(used), 0) FROM answers", {},
             [&](sqlite3_stmt* row) { used_ = sqlite3_column_int64(row, 0); });
  bytes_ = total();
}

int64_t Cache::total() {
  int64_t bytes = 0;
  store_.run("SELECT coalesce(sum(length(scores) + length(raw) + ?), 0) FROM answers", {kAround},
             [&](sqlite3_stmt* row) { bytes = sqlite3_column_int64(row, 0); });
  return bytes;
}

std::optional<Answer> Cache::get(const std::string& key, size_t K) {
  std::optional<Answer> found;
  store_.run("SELECT scores, raw FROM answers WHERE key = ?", {std::string_view(key)},
             [&](sqlite3_stmt* row) {
               const auto scores = bytes_of(row, 0);
               if (scores.size() != K * sizeof(double)) return;
               found.emplace();
               found->scores_K.resize(K);
               std::memcpy(found->scores_K.data(), scores.data(), scores.size());
               found->raw = bytes_of(row, 1);
             });
  if (!found) return found;
  const std::lock_guard lock(mutex_);
  try {
    store_.run("UPDATE answers SET used = ? WHERE key = ?", {++used_, std::string_view(key)});
  } catch (const StoreError&) {  // it may be forgotten earlier than others; the answer is there all the same
  }
  return found;
}

void Cache::put(const std::string& key, const Answer& answer) {
  const std::string_view scores(reinterpret_cast<const char*>(answer.scores_K.data()),
                                answer.scores_K.size() * sizeof(double));
  const auto raw = std::string_view(answer.raw).substr(0, kMaxRaw);
  const std::lock_guard lock(mutex_);
  // The first answer stays: what a run has seen once it sees again.
  const int added = store_.run("INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                               {std::string_view(key), scores, raw, ++used_});
  if (added == 0) return;
  bytes_ += static_cast<int64_t>(scores.size() + raw.size()) + kAround;
  if (bytes_ > max_bytes_) trim();
}

void Cache::trim() {
  bytes_ = total();
  while (bytes_ > max_bytes_ - max_bytes_ / 10) {
    const int gone = store_.run(
        "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used LIMIT (SELECT (count(*) + "
        "9) / 10 "
        "FROM answers))");
    if (gone == 0) return;
    bytes_ = total();
  }
}

}  // namespace remote
