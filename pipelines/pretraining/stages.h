// The stages of `pretrain`, each resumable on its own.
#pragma once

#include <filesystem>

#include "engine/models/sd3/sd3_model.h"
#include "engine/models/sd3/sd3_text.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "pipelines/pretraining/options.h"
#include "pipelines/training/run.h"

namespace thalweg {

/// Configs of the pipeline's parts, parsed from the job's architecture and written to `folder`.
struct Sd3Parts {
  Sd3TransformerConfig transformer;
  AutoencoderKlConfig vae;
  ClipTextConfig first, second;
  int64_t num_train_timesteps = 1000;
};

/// Throws Error at /architecture when a component's config cannot be used.
void check_architecture(const PretrainOptions& options);

/// Writes tokenizers, configs, scheduler and model_index.json to `folder` and returns the parsed configs.
Sd3Parts write_architecture(const PretrainOptions& options, const std::filesystem::path& folder);

/// Pictures [indices.size(),3,size,size] in [-1,1] of the world's training scenes.
at::Tensor training_pictures(const PretrainOptions& options, const std::vector<int64_t>& indices);
std::vector<std::string> training_captions(const PretrainOptions& options);

/// The plan of a stage that runs, and keeps its checkpoints, in `folder`.
RunPlan stage_plan(const PretrainOptions& options, const char* phase, const std::filesystem::path& folder,
                   int64_t steps, const char* shown_metric);

/// Trains the VAE, writes its weights and the latents' scale and shift into `folder`/vae. Returns how many
/// updates were skipped; throws Error when all were.
int64_t train_autoencoder(const PretrainOptions& options, const Sd3Parts& parts,
                          const std::filesystem::path& folder, const Observer& observer);

/// Trains text encoders and transformer on the cached latents; writes their averaged weights into `folder`.
/// Returns how many updates were skipped; throws Error when all were.
int64_t train_flow(const PretrainOptions& options, const Sd3Parts& parts, const std::filesystem::path& folder,
                   const Observer& observer);

/// Learning-rate factor: linear warm-up, constant, linear decay to zero over the last `decay_fraction`.
double learning_rate_factor(int64_t step, int64_t steps, int64_t warmup_steps, double decay_fraction);

}  // namespace thalweg
