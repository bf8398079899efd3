// GaussianMixturePipeline: a flow model whose truth is known (mixture.h), in a folder of the diffusers layout
// without weights: model_index.json, mixture/config.json (mixture_config.h) and, where the noise levels are
// shifted, scheduler/scheduler_config.json. It computes in float64 whatever the job's dtype.
#pragma once

#include "engine/models/flow_model.h"
#include "engine/models/model_size.h"

namespace thalweg {

/// Parameters are "means", "log_stds" and "logits" (of the weights), each [mixtures, components]. The codec
/// is the identity: frames are the latents, not clamped. Throws Error naming file and key.
std::unique_ptr<FlowModel> load_mixture(const std::filesystem::path& folder, const ModelOptions& options);

/// None: there is no layer to adapt.
LoraNames read_mixture_lora_names(const std::filesystem::path& folder);

/// FlowModel::schedule of the folder's model. Reads its configs alone.
Schedule read_mixture_schedule(const std::filesystem::path& folder, const ModelOptions& options,
                               int64_t steps, int64_t height, int64_t width);

/// Of the config's own shape, whatever size is asked for.
ModelSize mixture_size(const std::filesystem::path& folder, const ModelOptions& options, int64_t height,
                       int64_t width, int64_t frames = 1);

}  // namespace thalweg
