// The stages of `pretrain`, each resumable on its own.
#pragma once

#include <filesystem>

#include "pipelines/pretraining/blueprint.h"
#include "pipelines/pretraining/options.h"
#include "pipelines/training/run.h"

namespace thalweg {

/// What a stage works on; outlives it.
struct Pretraining {
  const PretrainOptions& options;
  const World& world;
  const Blueprint& blueprint;
  std::filesystem::path folder;  // of the model
  const Observer& observer;
};

/// The plan of a stage that runs, and keeps its checkpoints, in `folder`.
RunPlan stage_plan(const PretrainOptions& options, const char* phase, const std::filesystem::path& folder,
                   int64_t steps, const char* shown_metric, Json identity);

/// Trains the VAE, writes its weights and its latents' mean and deviation into the model's folder. Returns
/// how many updates were skipped; throws Error when all were.
int64_t train_autoencoder(const Pretraining& pretraining);

/// Trains text encoders and transformer on the cached latents; writes their averaged weights into the model's
/// folder. Returns how many updates were skipped; throws Error when all were.
int64_t train_flow(const Pretraining& pretraining);

/// Learning-rate factor: linear warm-up, constant, linear decay to zero over the last `decay_fraction`.
double learning_rate_factor(int64_t step, int64_t steps, int64_t warmup_steps, double decay_fraction);

}  // namespace thalweg
