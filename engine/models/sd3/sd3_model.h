// StableDiffusion3Pipeline from its diffusers folder: transformer, AutoencoderKL, two CLIP text encoders (T5
// absent, its zero tokens kept as diffusers keeps them), FlowMatchEulerDiscreteScheduler.
#pragma once

#include "engine/models/flow_model.h"
#include "engine/models/sd3/transformer.h"
#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/text/clip_tokenizer.h"
#include "engine/models/vae/autoencoder_kl.h"

namespace thalweg {

/// Throws Error naming the file for whatever is missing, malformed or unsupported.
std::unique_ptr<FlowModel> load_sd3(const std::filesystem::path& folder, const ModelOptions& options);

/// Sigmas of FlowMatchEulerDiscreteScheduler: the shift is applied to sigma_min and then again to the whole
/// grid, as diffusers does (online_rl.md 0). N+1 values ending in 0.
Schedule sd3_schedule(int64_t steps, double shift, int64_t num_train_timesteps = 1000);

/// Token features of both encoders side by side, zero-padded to `joint_attention_dim`, then `t5_tokens` zero
/// tokens; pooled outputs side by side. Differentiable, for pretraining.
TensorMap sd3_conditioning(const ClipTextEncoder& first, const at::Tensor& first_ids_BL,
                           const ClipTextEncoder& second, const at::Tensor& second_ids_BL,
                           int64_t joint_attention_dim, int64_t t5_tokens);

/// Token ids [B, L] of a batch of prompts.
at::Tensor token_ids(const ClipTokenizer& tokenizer, const std::vector<std::string>& prompts);

/// Velocity of a bound transformer over the conditioning of sd3_conditioning(). The network sees the time
/// sigma * num_train_timesteps, as the scheduler of its folder says.
Velocity sd3_velocity(Sd3Transformer transformer, int64_t num_train_timesteps = 1000);

}  // namespace thalweg
