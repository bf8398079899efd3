// The sections of a job that training looks at, whatever its kind and method.
#pragma once

#include "pipelines/sampler_section.h"
#include "pipelines/sections.h"
#include "pipelines/training/failed_rewards.h"
#include "pipelines/training/prompt_files.h"
#include "pipelines/video_section.h"

namespace thalweg {

/// How a role learns.
struct OptimizerSection {
  std::string name = "adamw", schedule = "constant";
  double learning_rate = 3e-4, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-4,
         max_grad_norm = 1.0, max_grad_value = 0.0;
  int64_t warmup_iterations = 0, max_skipped = 0;
  bool offload = false;  // what is trained, its moments and averages stay on the host of a GPU

  double rate_at(int64_t iteration, int64_t iterations) const;
};
void describe(Fields& fields, OptimizerSection& optimizer);

struct TrainingOptions {
  ModelSection model;
  PromptFiles prompts;
  SamplerSection sampler;  // of the rollouts
  OptimizerSection optimizer;
  FailedRewardsSection failed_rewards;
  std::string reference = "loaded";  // or "base": see ReferenceModel
  double ema_decay = 0.0;            // of the policy's average; 0: none
  int64_t iterations = 100;
  std::string negative_prompt;  // what guidance leads away from
  ParallelSection parallel;
  VideoSection video;
  int64_t seed = 0;
};

}  // namespace thalweg
