// The keys of a `sample` job.
#pragma once

#include <string>
#include <vector>

#include "pipelines/sampler_section.h"
#include "pipelines/scoring.h"
#include "pipelines/sections.h"
#include "pipelines/steering/steering.h"
#include "pipelines/video_section.h"

namespace thalweg {

struct SampleOptions {
  ModelSection model;
  PromptSection prompts;
  SamplerSection sampler;
  std::vector<SteeringEntry> steering;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  ParallelSection parallel;
  std::string negative_prompt, latents, output;
  DeviceSection device;
  VideoSection video;
  bool save_latents = false, save_frames = false, save_images = true;
  int64_t images_per_prompt = 1, seed = 0;
  double checkpoint_s = 20.0;
};
void describe(Fields& fields, SampleOptions& options);

/// run_identity() of the job.
Json sample_identity(const SampleOptions& options);

}  // namespace thalweg
