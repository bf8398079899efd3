#include "rewards/hosted/host_limits.h"

#include <filesystem>
#include <system_error>

#include "engine/core/error.h"

namespace thalweg {
namespace {

void require_paths(const std::vector<std::string>& paths, const std::string& pointer) {
  std::error_code failure;
  for (size_t i = 0; i < paths.size(); ++i)
    if (!std::filesystem::exists(paths[i], failure))
      throw Error(pointer + "/" + std::to_string(i), "there is no file or folder \"" + paths[i] + "\"");
}

}  // namespace

void describe(Fields& f, HostLimits& limits) {
  f.number({"call_seconds",
            "that one call, or its start, may take; then it is ended, and the samples of the "
            "call are not scored"},
           limits.call_s, 0.001, 1e6);
  f.integer({"restarts", "how often it is begun again after it ended, at the next call"}, limits.restarts, 0,
            1000000);
  f.number({"memory_gib", "of data that it may have; 0: not limited"}, limits.memory_gib, 0.0, 1e6);
  f.boolean(
      {"sandbox",
       "it reads its own folder, what its config names and the system's libraries, writes in a temporary "
       "folder of its own, and has no network; false: it may do all that you may"},
      limits.sandbox);
  f.boolean({"network", "it may use the network"}, limits.network);
  f.texts({"files", "files and folders that it may read, and run, besides"}, limits.files);
  f.texts({"writable", "files and folders that it may read and write"}, limits.writable);
}

void check(const HostLimits& limits, const std::string& pointer) {
  const auto refuse_unread = [&](bool given, const char* key) {
    if (given && !limits.sandbox)
      throw Error(pointer + "/" + key,
                  "is read by nothing: without its sandbox the reward may do all that you may");
  };
  refuse_unread(limits.network, "network");
  refuse_unread(!limits.files.empty(), "files");
  refuse_unread(!limits.writable.empty(), "writable");
  require_paths(limits.files, pointer + "/files");
  require_paths(limits.writable, pointer + "/writable");
}

}  // namespace thalweg
