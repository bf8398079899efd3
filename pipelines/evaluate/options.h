// The options of an `evaluate` job.
#pragma once

#include "engine/core/device.h"
#include "pipelines/plan/load.h"
#include "pipelines/scoring.h"
#include "pipelines/video_section.h"

namespace thalweg {

struct EvaluateOptions {
  ModelSection model;
  PromptSection prompts;
  SizeSection size;
  ScheduleSection schedule;
  std::string negative_prompt;
  int64_t steps = 0, pictures = 64, seed = 0;
  std::vector<double> guidance_scales;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  ParallelSection parallel;
  DeviceSection device;
  VideoSection video;
  std::string output;
  double checkpoint_s = 20.0;
};

void describe(Fields& fields, EvaluateOptions& options);

/// What decides the numbers of a run.
Json evaluate_identity(const EvaluateOptions& options);

std::vector<double> scales_of(const EvaluateOptions& options);

/// For the plan.
JobLoad evaluate_load(const EvaluateOptions& options);

}  // namespace thalweg
