// What an `align` run leaves to be loaded elsewhere: a LoRA, or a whole model. What is reported of the
// aligned model is measured on what is written here.
#pragma once

#include "pipelines/align/context.h"
#include "pipelines/align/lora_metadata.h"
#include "pipelines/training/run.h"

namespace thalweg {

/// `parameters` as whoever loads the exported file gets them. Throws Error at /export/dtype when they exceed
/// its range.
TensorMap exported_parameters(const PolicySpace& space, const TensorMap& parameters, const ExportSection& as);

/// Before training: throws Error, or IoError for the disk, for what would keep the weights from being written
/// after it, a file that cannot be read, a name that is taken, a disk without room for them and for the
/// checkpoints that are to come.
void check_export(const AlignContext& context, const RunProgress& progress);

/// Writes FOLDER/pytorch_lora_weights.safetensors, or FOLDER/model when all weights were trained; each takes
/// its name when it is whole. `exported` are exported_parameters() of `iteration`. Of a LoRA whose blocks are
/// LoRAs, each in FOLDER/heads/NAME/pytorch_lora_weights.safetensors too, '/' and its like in names as '_'.
/// Of a few-step generator the scheduler's config says its steps, the model's own or one beside the LoRA.
void write_weights(const std::filesystem::path& folder, const TrainedModel& trained,
                   const TensorMap& exported, int64_t iteration);

}  // namespace thalweg
