// StableDiffusion3Pipeline from its diffusers folder: transformer, AutoencoderKL, text encoders (sd3_text.h),
// FlowMatchEulerDiscreteScheduler.
#pragma once

#include "engine/models/flow_model.h"
#include "engine/models/sd3/transformer.h"

namespace thalweg {

/// Throws Error naming the file for whatever is missing, malformed or unsupported.
std::unique_ptr<FlowModel> load_sd3(const std::filesystem::path& folder, const ModelOptions& options);

/// FlowModel::latent_shape of such a model, whose VAE makes latents of `factor` pixels a side.
LatentShape sd3_latent_shape(const Sd3TransformerConfig& config, int64_t factor, int64_t height,
                             int64_t width, int64_t frames);

/// Layers that a LoRA of the folder's transformer may adapt. Reads its config alone.
LoraNames read_sd3_lora_names(const std::filesystem::path& folder);

/// FlowModel::schedule of the folder's model. Reads its configs alone.
Schedule read_sd3_schedule(const std::filesystem::path& folder, const ModelOptions& options, int64_t steps,
                           int64_t height, int64_t width);

/// Velocity of a bound transformer over the conditioning of sd3_conditioning() (sd3_text.h). The network sees
/// the time sigma * num_train_timesteps, as the scheduler of its folder says.
Velocity sd3_velocity(Sd3Transformer transformer, int64_t num_train_timesteps = 1000);

}  // namespace thalweg
