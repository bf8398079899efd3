// WanPipeline (Wan 2.1, text to video) from its diffusers folder: transformer, AutoencoderKLWan, text encoder
// (wan_text.h), FlowMatchEulerDiscreteScheduler or UniPCMultistepScheduler.
#pragma once

#include "engine/models/flow_model.h"
#include "engine/models/wan/transformer.h"

namespace thalweg {

/// Throws Error naming the file for whatever is missing, malformed or unsupported: Wan 2.2's two experts and
/// times by token among it.
std::unique_ptr<FlowModel> load_wan(const std::filesystem::path& folder, const ModelOptions& options);

/// FlowModel::latent_shape of such a model, whose VAE makes latents of `factor` pixels a side. Throws Error
/// with the nearest sizes that can be had.
LatentShape wan_latent_shape(const WanTransformerConfig& config, int64_t factor, int64_t height,
                             int64_t width, int64_t frames);

/// Layers that a LoRA of the folder's transformer may adapt. Reads its config alone.
LoraNames read_wan_lora_names(const std::filesystem::path& folder);

/// FlowModel::schedule of the folder's model. Reads its configs alone.
Schedule read_wan_schedule(const std::filesystem::path& folder, const ModelOptions& options, int64_t steps,
                           int64_t height, int64_t width);

/// Velocity of a bound transformer over "prompt_embeds". The network sees the time sigma *
/// num_train_timesteps, in float32 and never rounded to a whole number.
Velocity wan_velocity(WanTransformer transformer, int64_t num_train_timesteps = 1000);

}  // namespace thalweg
