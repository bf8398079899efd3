// `thalweg serve`: its options, from the command line, a file, or the environment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace thalweg::service {

struct Options {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::filesystem::path socket;  ///< a Unix socket beside the port; empty: none
  std::filesystem::path store = "thalweg-store";
  std::filesystem::path root = ".";
  std::filesystem::path presets = "assets/presets";  ///< below the root
  std::filesystem::path keys;
  int64_t workers = 1, max_pending = 10'000, grace_s = 30;
  int64_t cores = 0;              ///< of each worker, its own; 0: all share all
  std::vector<std::string> gpus;  ///< handed to the workers in turn; none: all see all
  std::vector<std::string> hosts, remotes, plugins;
  bool python = false;
};

/// Serves until SIGTERM or SIGINT; then runs are asked to keep what they have. Returns the exit code. Throws
/// Error.
int serve(const Options& options);

}  // namespace thalweg::service
