// The `align` job's options, and those of its methods.
#pragma once

#include "pipelines/align/monitors.h"
#include "pipelines/sections.h"

namespace thalweg {

struct FlowGrpoOptions {
  int64_t prompts_per_iteration = 8, group_size = 16, updates = 2;
  double clip_range = 1e-4, kl_beta = 0.0, adv_clip_max = 5.0;
  bool global_std = true;
  std::string kl_scale = "diffusion";  // or "std"
};
void describe(Fields& fields, FlowGrpoOptions& options);

struct DiffusionNftOptions {
  int64_t prompts_per_iteration = 16, group_size = 12, updates = 1, times_per_sample = 4;
  double beta = 1.0, kl_beta = 1e-4, adv_clip_max = 5.0;
  bool global_std = true;
  // Old policy <- decay * old + (1 - decay) * policy after each iteration i, decay = min(rate * (i - start),
  // maximum).
  double old_decay_rate = 0.001, old_decay_maximum = 0.5;
  int64_t old_decay_start = 0;
};
void describe(Fields& fields, DiffusionNftOptions& options);

struct OptimizerSection {
  std::string name = "adamw", schedule = "constant";
  double learning_rate = 3e-4, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-4,
         max_grad_norm = 1.0;
  int64_t warmup_iterations = 0;

  double rate_at(int64_t iteration, int64_t iterations) const;
};
void describe(Fields& fields, OptimizerSection& optimizer);

struct EvaluateSection {
  int64_t every = 10, steps = 28, pictures = 16;
  double guidance_scale = 1.0;
  std::vector<double> base_guidance_scales;  // the base model's, beside the policy's own
  std::string metric;                        // a reward's name; empty: the combined reward
};
void describe(Fields& fields, EvaluateSection& evaluate);

struct AlignOptions {
  std::string name;
  ModelSection model;
  std::string train_prompts, select_prompts, eval_prompts;
  SamplerSection sampler;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  std::string method = "flow_grpo";
  FlowGrpoOptions flow_grpo;
  DiffusionNftOptions diffusion_nft;
  OptimizerSection optimizer;
  double ema_decay = 0.0;  // 0: none
  int64_t iterations = 100;
  EvaluateSection evaluate;
  MonitorSection monitors;
  CheckpointSection checkpoint;
  ParallelSection parallel;
  int64_t seed = 0;
  std::string device = "cpu", output;
};
void describe(Fields& fields, AlignOptions& options);

}  // namespace thalweg
