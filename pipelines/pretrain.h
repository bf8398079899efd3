// The `pretrain` job: from an architecture and a world of pictures to a diffusers folder. VAE first, then
// text encoders and transformer together by conditional flow matching (Lipman et al. 2023, arXiv 2210.02747;
// SD3's logit-normal sigmas, arXiv 2403.03206 section 3.1).
#pragma once

#include "pipelines/builtin.h"

namespace thalweg {

struct PretrainOptions {
  Json architecture = Json::object();  // component name -> its config.json
  struct Data {
    std::string world = "scenes";
    int64_t images = 60000, size = 64;
  } data;
  struct Autoencoder {
    int64_t steps = 1500, batch_size = 32;
    double learning_rate = 2e-3, kl_weight = 1e-3, final_kl_weight = 2e-4;
  } vae;
  struct Flow {
    int64_t steps = 9000, batch_size = 128, warmup_steps = 100;
    double muon_learning_rate = 0.01, learning_rate = 1.5e-3, decay_fraction = 0.35;
    double caption_dropout = 0.1, ema_decay = 0.998, max_grad_norm = 1.0;
  } flow;
  std::string dtype = "bfloat16", save_dtype = "float16";
  int64_t max_sequence_length = 1;  // T5's zero tokens, as sampling will add them
  int64_t checkpoint_every = 250, checkpoint_keep = 2;
  int64_t threads = 1, seed = 0;
  std::string output;
};

void describe(Fields& fields, PretrainOptions& options);

std::unique_ptr<Job> make_pretrain_job();

/// run_identity() of these options.
Json pretrain_identity(const PretrainOptions& options);

/// Runs or resumes; the finished folder is `output`/model. Throws Error, or Stopped after a checkpoint.
void run_pretrain(const PretrainOptions& options, const Observer& observer);

}  // namespace thalweg
