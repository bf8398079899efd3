// THE table of names: job kinds, methods, samplers and model families. To add one, add its file and its row
// here.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/core/fields.h"
#include "engine/models/flow_model.h"
#include "engine/models/model_size.h"
#include "pipelines/observer.h"
#include "pipelines/plan/plan.h"
#include "pipelines/sections.h"

namespace thalweg {

/// One kind of job: its options, what must hold before it starts, and its run.
class Job {
 public:
  virtual ~Job() = default;
  virtual void describe(Fields& fields) = 0;
  /// Cheap checks that need the file system: files exist, plugins are found, sizes fit. Throws Error.
  virtual void check() {}
  /// Throws Error, or Stopped when it was asked to stop.
  virtual void run(const Observer& observer) = 0;
  virtual std::string output() const = 0;
  /// Whether the same job goes on where it was stopped or killed; else it begins anew.
  virtual bool resumes() const { return false; }
  /// What the run will need. A kind without a prediction says so in the note.
  virtual Plan plan(PlanMode mode) const;
};

/// Reads a whole job. Throws Error with the JSON pointer.
std::unique_ptr<Job> read_job(const Json& json);

/// The job with every default written out.
Json resolved_job(const Json& json);

/// JSON schema (draft 7) of all jobs; a section that stands more than once is a definition.
Json job_schema();

/// Opens a model folder by the `_class_name` of its model_index.json.
std::unique_ptr<FlowModel> load_model(const std::filesystem::path& folder, const ModelOptions& options);

/// Layers that a LoRA of the model in `folder` may adapt. Reads its configs alone; throws Error as load_model
/// does.
LoraNames model_lora_names(const std::filesystem::path& folder);

/// What the model of a section needs for pictures of that size, by its configs and headers alone.
ModelSize model_size(const ModelSection& model, const SizeSection& size);

/// schedule_of for the model of a section, by its configs alone.
Schedule planned_schedule(const ScheduleSection& schedule, const ModelSection& model, int64_t steps,
                          const SizeSection& size);

}  // namespace thalweg
