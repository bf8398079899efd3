// The keys of a `pretrain` job.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/fields.h"

namespace thalweg {

struct PretrainOptions {
  std::string family = "sd3";
  Json architecture = Json::object();  // component name -> its config.json
  struct Data {
    std::string world = "scenes";
    int64_t images = 60000, size = 64, frames = 1;
  } data;
  struct Autoencoder {
    int64_t steps = 1500, batch_size = 32;
    double learning_rate = 2e-3, muon_learning_rate = 0.0, kl_weight = 1e-3, final_kl_weight = 2e-4;
    double object_weight = 1.0, crowded = 0.0;
  } vae;
  struct Flow {
    int64_t steps = 9000, batch_size = 128, warmup_steps = 100;
    double muon_learning_rate = 0.01, learning_rate = 1.5e-3, decay_fraction = 0.35;
    std::vector<std::pair<std::string, double>> kinds;  // percent of each kind of caption; empty: the world's
    double caption_dropout = 0.1, ema_decay = 0.998, max_grad_norm = 1.0;
  } flow;
  std::string dtype = "bfloat16", save_dtype = "float16";
  int64_t max_sequence_length = 1;  // T5's tokens, as sampling will have them
  int64_t checkpoint_every = 250, checkpoint_keep = 2;
  int64_t threads = 1, seed = 0;
  std::string output;
};

void describe(Fields& fields, PretrainOptions& options);

/// run_identity() of these options.
Json pretrain_identity(const PretrainOptions& options);
/// Of what the autoencoder's stage depends on: a flow with other settings is trained on the same one.
Json autoencoder_identity(const PretrainOptions& options);

}  // namespace thalweg
