// Answers that were paid for, by what was asked. Failures are never kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store.h"

namespace remote {

struct Answer {
  std::vector<double> scores_K;  // NaN: the judge said that it does not score this
  std::string raw;               // what the judge wrote, for whoever looks into the file; may be ""
};

class Cache {
 public:
  static constexpr size_t kMaxRaw = 64 << 10;

  /// Beyond `max_bytes` (scores and raw texts) those not used for longest go. `store` outlives it.
  Cache(Store& store, int64_t max_bytes);

  /// The scores bit for bit as they were put; none where the entry has another number of them. [any thread]
  std::optional<Answer> get(const std::string& key, size_t K);
  void put(const std::string& key, const Answer& answer);

 private:
  void trim();
  int64_t total();

  Store& store_;
  const int64_t max_bytes_;
  std::mutex mutex_;
  int64_t used_ = 0;   // grows with each use
  int64_t bytes_ = 0;  // at least what is there
};

}  // namespace remote
