// A store that is damaged, looked at and made anew.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace thalweg::service {

struct StoreHealth {
  std::vector<std::string> damage;  ///< in words; empty: none was found
  int64_t jobs = 0;                 ///< that the table has; of a damaged one those that can be read
  int64_t unlisted = 0;             ///< that have a folder and are not in the table
};

/// Reads all of it. The caller holds its lock.
StoreHealth examine_store(const std::filesystem::path& folder);

struct StoreRepair {
  std::filesystem::path kept;                        ///< where the damaged file lies now
  int64_t jobs_of_manifests = 0, jobs_of_table = 0;  ///< made anew from what
  int64_t events = 0, files = 0, keys = 0;           ///< rows of the old table that could be read
  int64_t files_without_row = 0;                     ///< bytes of files that nobody can name any more
};

/// Moves the tables away and makes new ones from the manifests of the jobs' folders and from every row that
/// can still be read. The caller holds the store's lock. Throws IoError, with the old tables where they were.
StoreRepair repair_store(const std::filesystem::path& folder);

}  // namespace thalweg::service
