// Which run a folder belongs to, and where that run goes on: for every kind of job that leaves checkpoints.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/fields.h"
#include "pipelines/observer.h"
#include "pipelines/stages/event.h"
#include "rewards/reward_set.h"

namespace thalweg {

/// A file, or a folder of a model, that a job reads; `pointer` is where the job names it.
struct InputFile {
  std::string pointer;
  std::filesystem::path path;
};

/// Adds the plugins of the rewards, and the files and folders that their configs name.
void add_inputs(std::vector<InputFile>& inputs, const std::vector<RewardSpec>& rewards);

/// What a run and its continuation must share, as a checkpoint's manifest keeps it:
/// "job": the resolved job without "name", "output", "monitors", "parallel/workers" and "model/prompt_cache",
/// on which the numbers do not depend; "inputs": {pointer, path, sha256} of every file (see fingerprint());
/// "machine": machine_identity() of engine/core/machine.h.
Json run_identity(const Fields::Describe& job, const std::vector<InputFile>& inputs);

/// The "job" part, of a resolved job.
Json deciding_part(Json job);

/// Throws Error, naming what differs, when `folder` holds a checkpoint of another run than `identity()`,
/// which is asked only where there is one. Reads manifests alone: a damaged one is passed over here, and
/// whether the files are whole is seen when the run goes on.
void require_own_checkpoints(const std::filesystem::path& folder, const std::function<Json()>& identity);

/// Sets a checkpoint aside that does not verify.
Event damaged_checkpoint(const std::filesystem::path& checkpoint, const std::string& problem);

/// A warning where the checkpoint was computed on another processor.
std::optional<Event> other_processor(const std::filesystem::path& checkpoint);

struct Resumable {
  std::optional<std::filesystem::path> checkpoint;  // none: the run starts from the beginning
  std::vector<Event> events;                        // what its owner should know
};

/// The newest whole checkpoint. Damaged ones are set aside, with a message and an event each; what killed
/// runs left is removed. Warns when the processor is another one.
Resumable find_resumable(const std::filesystem::path& folder, const Observer& observer);

}  // namespace thalweg
