// What a `sample`, `score` or `evaluate` job has done: kept in memory, and from time to time on disk, so that
// a run that is stopped or killed goes on. OUTPUT/parts/checkpoint-N hold a few micro-batches each, and are
// gone when the job is done.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "engine/core/fields.h"
#include "pipelines/observer.h"
#include "pipelines/sampling/drawn.h"
#include "pipelines/stages/event.h"

namespace thalweg {

/// "checkpoint": seconds between two savings.
void describe_checkpoint(Fields& fields, double& every_s);

class DrawnStore {
 public:
  /// `identity` (run_identity()) is asked for when there are parts or something is to be written; `sync`
  /// brings to the disk what a part says is there but does not hold itself: pictures.
  DrawnStore(
      const std::filesystem::path& output, std::function<Json()> identity, double every_s,
      std::function<void(const std::vector<const Drawn*>&)> sync = [](const auto&) {});

  /// Throws Error when `output` holds parts of another run.
  static void require_own(const std::filesystem::path& output, const std::function<Json()>& identity);

  /// Whether `output` holds parts.
  static bool is_there(const std::filesystem::path& output);

  /// Removes the parts from the disk.
  static void remove(const std::filesystem::path& output);

  /// Takes in what an earlier run has drawn, as far as it is `kept`; the rest, and that of damaged parts,
  /// which are set aside, is drawn again. Events say what was found; the observer is told of other settings.
  std::vector<Event> load(
      const Observer& observer,
      const std::function<bool(const Drawn&)>& kept = [](const Drawn&) { return true; });

  /// From any thread; saves when it is time.
  void add(Drawn drawn);
  /// Whatever is not on disk yet.
  void save();

  /// Of `total` samples in micro-batches, the first of each micro-batch that is not there. `offset`: of the
  /// keys under which they were added.
  std::vector<int64_t> missing(int64_t total, int64_t micro_batch, int64_t offset = 0) const;
  /// In the order of the job.
  std::vector<Drawn> sorted() const;

 private:
  void save_pending();

  std::filesystem::path folder_;
  std::function<Json()> ask_identity_;
  Json identity_;
  double every_s_, saved_at_;
  std::function<void(const std::vector<const Drawn*>&)> sync_;
  int64_t next_part_ = 0;
  mutable std::mutex mutex_;  // of what follows
  std::map<int64_t, Drawn> drawn_;
  std::vector<int64_t> pending_;  // keys that are not on disk
};

}  // namespace thalweg
