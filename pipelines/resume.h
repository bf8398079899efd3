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

struct ModelSection;

/// A file, or a folder of a model, that a job reads; `pointer` is where the job names it.
struct InputFile {
  std::string pointer;
  std::filesystem::path path;
};

/// Adds the plugins of the rewards, and the files and folders that their configs name: texts of existing
/// paths that hold a '/', name a file with an ending, or stand under a key such as "model" or "path".
void add_inputs(std::vector<InputFile>& inputs, const std::vector<RewardSpec>& rewards);

/// Adds the model's folder, its LoRAs, and the scheduler config beside one that says a generator's steps.
void add_inputs(std::vector<InputFile>& inputs, const ModelSection& model);

/// Which run this is, as a checkpoint's manifest keeps it: "job": the resolved job; "inputs": {pointer, path,
/// name, sha256} of every file (see fingerprint()), where `name` is the file's own or its place in the folder
/// that the job names; "machine": machine_identity() of engine/core/machine.h. A run and its continuation
/// share deciding_part() of the job, names and hashes of the inputs wherever they lie, and the machine.
Json run_identity(const Fields::Describe& job, const std::vector<InputFile>& inputs);

/// What of a resolved job decides its numbers: all but the run's name, folders, saving and reporting, the
/// number of workers, and the number of iterations where the learning rate does not depend on it.
Json deciding_part(Json job);

/// The first difference of two jobs in words: "/seed is 1 there and 2 here"; "" where there is none.
std::string first_difference(const Json& there, const Json& here);

/// Throws Error, naming what differs, when `folder` holds a checkpoint of another run than `identity()`,
/// which is asked only where there is one, or one of more iterations than the job has now. Reads manifests
/// alone: a damaged one is passed over here, and whether the files are whole is seen when the run goes on.
void require_own_checkpoints(const std::filesystem::path& folder, const std::function<Json()>& identity);

/// Throws Error when a file of these inputs, or of those that the checkpoint has from the same places of the
/// job, was added, removed or changed since the checkpoint was written.
void require_same_inputs(const std::filesystem::path& checkpoint, const std::vector<InputFile>& inputs);

/// What of the job is another than when the checkpoint was written, since that may be: a line that names each
/// setting, empty where all is the same. No event: the run's records are those of one that had these settings
/// from the start.
std::string changed_settings(const std::filesystem::path& checkpoint, const Json& identity);

/// Sets a checkpoint aside that does not verify.
Event damaged_checkpoint(const std::filesystem::path& checkpoint, const std::string& problem);

/// A warning where the checkpoint was computed on another processor.
std::optional<Event> other_processor(const std::filesystem::path& checkpoint);

struct Resumable {
  std::optional<std::filesystem::path> checkpoint;  // none: the run starts from the beginning
  std::vector<Event> events;                        // what its owner should know
};

/// The newest whole checkpoint. Damaged ones are set aside, with a message and an event each; what killed
/// runs left is removed. Says so when the processor is another one, or a setting of `identity`.
Resumable find_resumable(const std::filesystem::path& folder, const Json& identity, const Observer& observer);

}  // namespace thalweg
