// The life of a training run in its folder: iterations, held-out evaluations and the best of them, monitors,
// checkpoints, a stop, going on after one. It knows no method and no kind of job.
#pragma once

#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>

#include "pipelines/observer.h"
#include "pipelines/resume.h"
#include "pipelines/sections.h"
#include "pipelines/training/early_stop.h"
#include "pipelines/training/monitors.h"
#include "pipelines/training/record.h"
#include "pipelines/training/self_check.h"
#include "pipelines/training/state.h"

namespace thalweg {

/// A held-out evaluation.
struct HeldOut {
  double value = std::nan("");  // chooses the best checkpoint
  std::string name;             // of the value, for people
  Metrics metrics;
  KeptPictures pictures = {};
};

/// What is trained: the part of a run that differs from kind to kind.
class Trainee {
 public:
  virtual ~Trainee() = default;
  /// Throws Error when the run cannot go on, Stopped when it was asked to stop before anything has changed.
  virtual Metrics iterate(int64_t iteration) = 0;
  /// At step 0, the start, at every RunPlan::evaluate_every, and in the end. May throw Stopped.
  virtual HeldOut evaluate(int64_t) { return {}; }
  /// Parameters of which the best evaluation's are kept.
  virtual TensorMap shown() const { return {}; }
  /// All that a resumed run needs but its progress.
  virtual void state(RunState& state) = 0;
  /// What is to be said once, when the run begins: not when it goes on.
  virtual std::vector<Event> start_events() const { return {}; }
  /// What happened since the last call.
  virtual std::vector<Event> take_events() { return {}; }
  /// Time so far, by phase.
  virtual std::vector<PhaseTiming> timings() const { return {}; }
  /// A checkpoint was written, after the first iteration.
  virtual void saved() {}
};

struct RunPlan {
  std::string phase;  // of the progress bar
  std::filesystem::path folder;
  int64_t iterations = 0;
  int64_t evaluate_every = 0;  // 0: never
  CheckpointSection checkpoint;
  std::string shown_metric;  // beside the bar
  at::Device device = at::kCPU;
  Json identity;            // run_identity(): whose checkpoints may be gone on from
  VideoSection video = {};  // how HeldOut::frames_BF3HW are kept
  std::optional<EarlyStop> early_stop = std::nullopt;       // of evaluations, every `evaluate_every`-th
  std::optional<SelfCheckFacts> self_check = std::nullopt;  // none: nothing is said
};

/// `next` is the first iteration that has not been done.
struct RunProgress {
  int64_t next = 0;
  int64_t evaluated = -1;  // step of the newest held-out evaluation
  double held_out = std::nan("");
  double best_value = -std::numeric_limits<double>::infinity();
  int64_t best_step = 0;
  TensorMap best;  // Trainee::shown() of the best evaluation after the start; empty: none yet
  double elapsed_s = 0.0;

  void state(RunState& state);
};

class TrainingRun {
 public:
  /// Takes up the newest whole checkpoint of the folder, which it reads into `trainee`, or starts. Throws
  /// Error when it belongs to another run. `trainee` and `observer` must outlive the run.
  TrainingRun(RunPlan plan, Trainee& trainee, std::optional<Monitors> monitors, const Observer& observer);

  /// To the last iteration, or to the evaluation at which its plan's early stop ends it. Throws as Trainee
  /// does; Stopped after a checkpoint.
  void run();

  /// Of a run that is over: why it ended before its last iteration; empty: it did not.
  std::string ended_early() const { return plan_.early_stop ? plan_.early_stop->reason() : ""; }

  const RunProgress& progress() const { return progress_; }
  RunRecord& record() { return *record_; }
  const std::optional<Monitors>& monitors() const { return monitors_; }

 private:
  void load();
  void save();
  void iterate();
  template <typename Work>
  auto recorded(int64_t step, const Work& work);
  void evaluate(int64_t step);
  void monitor(int64_t step, const Json& row);
  int64_t self_check_at() const;
  void check_self();
  void end_early(int64_t step, const Json& row);
  bool is_over() const;
  bool evaluation_is_due() const;
  bool checkpoint_is_due() const;
  void prune() const;

  RunPlan plan_;
  Trainee& trainee_;
  std::optional<Monitors> monitors_;
  const Observer& observer_;
  RunProgress progress_;
  std::optional<RunRecord> record_;
  bool saved_ = false;  // a checkpoint holds this very state
};

}  // namespace thalweg
