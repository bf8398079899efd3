// Checkpoint folders that are whole or absent: run/checkpoint-N/ holds the caller's files, state.json and,
// written last, manifest.json with the size and sha256 of every other file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

/// Collects one checkpoint in run/.checkpoint-N.tmp. Without commit() the destructor removes it.
/// All calls throw Error with the path and the reason (a full disk is named).
class CheckpointWriter {
 public:
  CheckpointWriter(const std::filesystem::path& run_dir, int64_t step);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Where to write the file `name`: "lora.safetensors", or "transformer/config.json" (the subfolder is
  /// made). "state.json" and "manifest.json" are taken.
  std::filesystem::path path(const std::string& name) const;

  /// Writes state.json, fsyncs all files and folders, writes the manifest, renames the folder to
  /// checkpoint-N (an older folder of that name is exchanged in the same instant) and fsyncs run/.
  /// `run` says in the manifest which run this is, for the check on resume. Returns the folder. To be called
  /// once.
  std::filesystem::path commit(const Json& state, const Json& run);

 private:
  std::filesystem::path run_dir_;
  std::filesystem::path folder_;
  int64_t step_;
};

inline constexpr int64_t kCheckpointFormat = 3;

struct CheckpointManifest {
  struct File {
    std::string name;  // with '/' between folders
    uint64_t size = 0;
    std::string sha256;
  };
  int64_t format = kCheckpointFormat;  // another one: the rest is not read
  int64_t step = 0;
  Json run;  // as given to commit()
  std::vector<File> files;
};

/// Throws Error when the manifest is absent or malformed. The files are not looked at.
CheckpointManifest read_manifest(const std::filesystem::path& checkpoint);

/// "" when every file of the manifest is there with its size and sha256, else what is wrong.
std::string verify_checkpoint(const std::filesystem::path& checkpoint);

/// checkpoint-N folders of a run by rising N, whole or not.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& run_dir);

/// The N of a folder that list_checkpoints() has found.
int64_t checkpoint_number(const std::filesystem::path& checkpoint);

/// Renames a checkpoint that does not verify to checkpoint-N.damaged, out of the way of the run, which will
/// write another of that step. Returns the new place.
std::filesystem::path set_aside(const std::filesystem::path& checkpoint);

/// Removes the temporary folders of killed runs.
void remove_abandoned(const std::filesystem::path& run_dir);

/// state.json as given to commit().
Json read_state(const std::filesystem::path& checkpoint);

/// Keeps the `keep` (>= 1) newest checkpoints and the protected steps, deletes the others and abandoned
/// temporary folders. Deletes nothing when the newest does not verify. Returns what was deleted.
std::vector<std::filesystem::path> prune_checkpoints(const std::filesystem::path& run_dir, int64_t keep,
                                                     const std::set<int64_t>& protected_steps = {});

}  // namespace thalweg
