// FluxPipeline (FLUX.1 dev, schnell and what is made of them) from its diffusers folder: transformer,
// AutoencoderKL, text encoders (flux_text.h), FlowMatchEulerDiscreteScheduler.
#pragma once

#include "engine/models/flow_model.h"
#include "engine/models/flux/transformer.h"

namespace thalweg {

/// Throws Error naming the file for whatever is missing, malformed or unsupported.
std::unique_ptr<FlowModel> load_flux(const std::filesystem::path& folder, const ModelOptions& options);

/// FlowModel::latent_shape of such a model, whose VAE makes latents of `factor` pixels a side.
LatentShape flux_latent_shape(const FluxTransformerConfig& config, int64_t factor, int64_t height,
                              int64_t width, int64_t frames);

/// Layers that a LoRA of the folder's transformer may adapt. Reads its config alone.
LoraNames read_flux_lora_names(const std::filesystem::path& folder);

/// FlowModel::schedule of the folder's model. Reads its configs alone.
Schedule read_flux_schedule(const std::filesystem::path& folder, const ModelOptions& options, int64_t steps,
                            int64_t height, int64_t width);

/// Velocity of a bound transformer over "prompt_embeds" and "pooled_prompt_embeds". The scale that the
/// network is told is the conditioning's "guidance" [B] where it has one, else `guidance`.
Velocity flux_velocity(FluxTransformer transformer, int64_t num_train_timesteps, double guidance);

}  // namespace thalweg
