// What an `align` job has loaded: the training with its method, and the prompts that it never sees.
#pragma once

#include <memory>
#include <optional>

#include "pipelines/align/options.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/reward_lines.h"
#include "pipelines/training/timings.h"
#include "pipelines/training/training.h"

namespace thalweg {

class AlignContext {
 public:
  /// Loads the model, encodes all prompts, activates the rewards, starts the method. Both arguments must
  /// outlive it. Throws Error at what cannot be used.
  AlignContext(const AlignOptions& options, const Observer& observer);

  const AlignOptions& options;
  const Observer& observer;
  const std::unique_ptr<RewardLines> lines;
  const std::unique_ptr<Workers> workers;
  const PromptSet select, evaluation;  // held out: they choose the checkpoint, and are reported
  std::string shared_prompts;          // which of them are not, as a line; empty: all are
  std::vector<Event> start_events;     // to be said when the run begins
  PhaseClock evaluation_clock;
  Training training;
  const std::unique_ptr<MethodRun> method;
  const std::optional<Schedule> generator;  // exported_levels()

  /// The noise levels of the job at the steps of its evaluations.
  Schedule evaluation_schedule() const;
  /// Of `prompts`, with as many pictures kept.
  EvaluationInput evaluation_input(const PromptSet& prompts, int64_t keep_frames);
  /// rollout, decode, reward, monitor, train, optimizer and evaluation, each where it took place.
  std::vector<PhaseTiming> timings() const;
  /// What happened since the last call, lines of rewards' logs included.
  std::vector<Event> take_events();
  /// Says which rewards failed in an evaluation (`phase`), if any did: a message, and an event of the
  /// training.
  void note_failures(const std::string& phase, const Evaluation& evaluation);

 private:
  struct Loaded;
  AlignContext(const AlignOptions& options, const Observer& observer, Loaded loaded);
};

}  // namespace thalweg
