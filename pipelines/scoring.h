// What `sample`, `score` and `evaluate` share: prompts of a job, and scores to scores.jsonl.
#pragma once

#include <filesystem>
#include <optional>

#include "pipelines/observer.h"
#include "pipelines/scored_report.h"
#include "pipelines/sections.h"
#include "pipelines/stages/event.h"
#include "pipelines/stages/phase_clock.h"

namespace thalweg {

/// Prompts given in the job or in a file, one of the two.
struct PromptSection {
  std::vector<std::string> texts;
  std::string path;
  int64_t limit = 0;

  /// Throws Error at /prompts unless exactly one is given and the file exists.
  void require() const;
  PromptList read() const;
  /// The file, or the key of the texts: for messages.
  std::string place() const { return path.empty() ? "/prompts/texts" : path; }
  /// Leaves out all but the first `count`.
  void keep_first(int64_t count);
};
void describe(Fields& fields, PromptSection& prompts);

/// latent_shape() with the error placed at `pointer`, where the job says the size.
LatentShape checked_latent_shape(const FlowModel& model, const SizeSection& size, const std::string& pointer);

/// "time_phases" of result.json: wall and CPU seconds by phase.
Json phases_json(const PhaseClock& clock);

/// The model with the LoRA of its section, or with the sum of them. Tells the observer what of their files is
/// left out.
Velocity bound_with_lora(const FlowModel& model, const ModelSection& section, const Observer& observer);

/// Writes events.jsonl of a job of one step, tells the observer, and sums the failed rewards up in `result`.
void write_events(const std::filesystem::path& folder, const std::vector<Event>& events, Json& result,
                  const Observer& observer);

/// What a job of one step leaves.
struct ScoredRun {
  std::string job;
  std::vector<std::string> prompts = {};   // of each sample
  std::vector<std::string> files = {};     // of each sample; none: they have no names
  std::optional<RewardBatch> scores = {};  // of each sample
  Json sections = Json::object();          // of result.json
  std::vector<Event> events = {};          // before the scores
  std::string came_to_nothing = {};        // by its steering: why; empty: it did not
  ShownSamples shown = {};                 // of the report; without prompts and scores
  Json settings = Json::object();          // the job, for the report
};

/// Writes scores.jsonl (a line a sample) when there are scores, events.jsonl and report.html. Returns the
/// job's result: mean of each reward over the scored samples, how many were not scored and why, the run's own
/// sections, time by phase. All of that is written before NothingAchieved is thrown, at /rewards when not one
/// sample has a reward, at /steering when the run says so.
Json write_scores(const std::filesystem::path& folder, const ScoredRun& run, const RewardSet* rewards,
                  const PhaseClock& clock, const Observer& observer);

}  // namespace thalweg
