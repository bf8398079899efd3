// The families of models: a folder is opened by what its model_index.json says.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "engine/models/flow_model.h"
#include "engine/models/model_size.h"
#include "pipelines/sections.h"

namespace thalweg {

/// A row of the table of model families (pipelines/builtin.cpp). All but `load` read configs and headers
/// alone.
struct FamilyRow {
  const char* class_name;
  int64_t max_sequence_length;  // default of its pipeline's argument
  std::unique_ptr<FlowModel> (*load)(const std::filesystem::path& folder, const ModelOptions&);
  LoraNames (*lora_names)(const std::filesystem::path& folder);
  Schedule (*schedule)(const std::filesystem::path& folder, const ModelOptions&, int64_t steps,
                       int64_t height, int64_t width);
  ModelSize (*size)(const std::filesystem::path& folder, const ModelOptions&, int64_t height, int64_t width,
                    int64_t frames);
};
const std::vector<FamilyRow>& family_table();

/// Writes out what the section leaves to the model's family. A folder that cannot be read keeps it: whoever
/// opens it says why.
void fill_model(ModelSection& model);

/// Opens a model folder by the `_class_name` of its model_index.json.
std::unique_ptr<FlowModel> load_model(const std::filesystem::path& folder, const ModelOptions& options);

/// Masters of the backbone of the model in `folder`, by the names and shapes of `model`'s: throws Error at
/// `pointer` where it has others.
TensorMap other_backbone(const FlowModel& model, const std::filesystem::path& folder,
                         const ModelOptions& options, const std::string& pointer);

/// Layers that a LoRA of the model in `folder` may adapt. Reads its configs alone; throws Error as load_model
/// does.
LoraNames model_lora_names(const std::filesystem::path& folder);

/// What the model of a section needs for pictures of that size, by its configs and headers alone. Throws
/// Error at `pointer` for a size that the model cannot draw.
ModelSize model_size(const ModelSection& model, const SizeSection& size, const std::string& pointer);

/// schedule_of for the model of a section, by its configs alone.
Schedule planned_schedule(const ScheduleSection& schedule, const ModelSection& model, int64_t steps,
                          const SizeSection& size);

}  // namespace thalweg
