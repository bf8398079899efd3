// The `align` job's options. Those of its methods are in pipelines/methods/.
#pragma once

#include "pipelines/methods/method.h"
#include "pipelines/training/early_stop.h"
#include "pipelines/training/monitors.h"
#include "pipelines/training/options.h"

namespace thalweg {

struct EvaluateSection {
  int64_t every = 10, steps = 0, pictures = 16;
  double guidance_scale = 1.0;
  std::vector<double> base_guidance_scales;  // the base model's, beside the policy's own
  std::string metric;                        // a reward's name; empty: the combined reward
  EarlyStopSection early_stop;
};
void describe(Fields& fields, EvaluateSection& evaluate);

/// Weights that are left to be loaded elsewhere.
struct ExportSection {
  std::string dtype = "float32";
};
void describe(Fields& fields, ExportSection& section);

struct AlignOptions : TrainingOptions {
  std::string name;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  Chosen<Method> method;
  bool force = false;  // of the method: it trains a few-step generator although it blurs it
  EvaluateSection evaluate;
  MonitorSection monitors;
  CheckpointSection checkpoint;
  DeviceSection device;
  ExportSection export_;  // "export" is a word of C++
  std::string output;
};
void describe(Fields& fields, AlignOptions& options);

/// run_identity() of these options: prompts, model, LoRA, plugins, and files that a reward's config names.
Json align_identity(const AlignOptions& options);

}  // namespace thalweg
