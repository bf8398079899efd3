// A kind of job.
#pragma once

#include <string>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "pipelines/observer.h"
#include "pipelines/plan/plan.h"

namespace thalweg {

/// A run that came to its end and has nothing to show for it: no sample was scored, say. `result` is what
/// result.json says beside the error.
class NothingAchieved : public Error {
 public:
  NothingAchieved(const std::string& place, const std::string& message, Json result)
      : Error(place, message), result_(std::move(result)) {}

  const Json& result() const noexcept { return result_; }

 private:
  Json result_;
};

/// One kind of job: its options, what must hold before it starts, and its run.
class Job {
 public:
  virtual ~Job() = default;
  virtual void describe(Fields& fields) = 0;
  virtual std::string output() const = 0;
  /// Fills in what a job may leave to the files that it names, as far as they are there: right after it was
  /// read. Throws Error naming a file that is malformed.
  virtual void fill_in() {}
  /// Cheap checks that need the file system: files exist, plugins are found, sizes fit. Throws Error.
  virtual void check() {}
  /// Throws Error when the output folder holds what another run left to go on with.
  virtual void check_folder() const {}
  /// Whether the output folder, which check_folder() has passed, holds what this job goes on with.
  virtual bool goes_on() const { return false; }
  /// Whether the output folder holds all results of this very job, so that nothing is left to do.
  virtual bool is_finished() const { return false; }
  /// Returns what result.json says, its "status" left out. Throws Error, NothingAchieved among them, or
  /// Stopped when it was asked to stop.
  virtual Json run(const Observer& observer) = 0;
  /// Removes what a run that goes on would have needed: of one that came to its end, with something to show
  /// for it or without, once result.json says so.
  virtual void clean_up() const {}
  /// Whether the same job goes on where it was stopped or killed; else it begins anew.
  virtual bool resumes() const { return false; }
  /// What the run will need. A kind without a prediction says so in the note.
  virtual Plan plan(const PlanRequest& request) const;
};

}  // namespace thalweg
