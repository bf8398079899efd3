#include "pipelines/service/doctor.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "engine/core/error.h"
#include "pipelines/service/store/repair.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

namespace {

constexpr int kDamaged = 1;

int say(const std::filesystem::path& folder, const StoreHealth& health) {
  for (const auto& damage : health.damage) std::cout << "damaged: " << damage << "\n";
  std::cout << folder.string() << ": " << health.jobs << " jobs can be read";
  if (health.unlisted > 0) std::cout << ", " << health.unlisted << " more have a folder and are not listed";
  const bool whole = health.damage.empty() && health.unlisted == 0;
  std::cout << (whole ? "; nothing is wrong\n" : "; --repair makes the store anew\n");
  return whole ? 0 : kDamaged;
}

}  // namespace

void add_options(CLI::App& command, DoctorOptions& options) {
  command.add_option("--store", options.store, "folder of the service")
      ->envname("THALWEG_SERVE_STORE")
      ->capture_default_str();
  command.add_flag("--repair", options.repair, "make a damaged store anew; the old one stays beside it");
}

int doctor(const DoctorOptions& options) {
  std::error_code none;
  const auto& folder = options.store;
  if (!std::filesystem::is_directory(folder / "jobs", none))
    throw Error("--store", "\"" + folder.string() + "\" is no store of a service");
  const auto lock = lock_store(folder);
  const auto health = examine_store(folder);
  const int code = say(folder, health);
  if (!options.repair || code == 0) return code;
  const auto done = repair_store(folder);
  std::cout << "made anew: " << done.jobs_of_manifests << " jobs from their folders, " << done.jobs_of_table
            << " from the old table; " << done.events << " events, " << done.files << " files, " << done.keys
            << " keys of requests from the old table\n";
  if (done.files_without_row > 0)
    std::cout << done.files_without_row << " files in " << (folder / "files").string()
              << " have lost their names and ids\n";
  std::cout << "the old table is " << done.kept.string() << "\n";
  return 0;
}

}  // namespace thalweg::service
