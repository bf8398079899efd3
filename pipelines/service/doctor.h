// `thalweg doctor`: is a service's store whole, and can it be made so?
#pragma once

#include <filesystem>

namespace CLI {
class App;
}

namespace thalweg::service {

struct DoctorOptions {
  std::filesystem::path store = "thalweg-store";
  bool repair = false;
};

void add_options(CLI::App& command, DoctorOptions& options);

/// The exit code: 0 where nothing is wrong, or all was made anew; 1 for damage. Throws Error where a server
/// has the store.
int doctor(const DoctorOptions& options);

}  // namespace thalweg::service
