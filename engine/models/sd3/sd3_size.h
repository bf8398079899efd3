// Size and cost of an SD3 pipeline folder, for `thalweg plan`.
#pragma once

#include <filesystem>

#include "engine/models/flow_model.h"
#include "engine/models/model_size.h"

namespace thalweg {

/// Reads model_index.json, the components' config.json and safetensors headers. Throws Error as loading does
/// for what is missing there.
ModelSize sd3_size(const std::filesystem::path& folder, const ModelOptions& options, int64_t height,
                   int64_t width, int64_t frames = 1);

}  // namespace thalweg
