// The `align` job's options. Those of its methods are in pipelines/methods/.
#pragma once

#include "pipelines/methods/method.h"
#include "pipelines/training/monitors.h"
#include "pipelines/training/options.h"

namespace thalweg {

struct EvaluateSection {
  int64_t every = 10, steps = 28, pictures = 16;
  double guidance_scale = 1.0;
  std::vector<double> base_guidance_scales;  // the base model's, beside the policy's own
  std::string metric;                        // a reward's name; empty: the combined reward
};
void describe(Fields& fields, EvaluateSection& evaluate);

/// Weights that are left to be loaded elsewhere.
struct ExportSection {
  std::string dtype = "float32";
};
void describe(Fields& fields, ExportSection& section);

/// Files of prompts; a folder as Flow-GRPO lays them out stands for those that are not named.
struct PromptFiles {
  static constexpr const char* kFolder = "/prompts/folder";
  std::string folder, train, select, eval;

  /// Of the rollouts; held out to choose the checkpoint; held out to be reported. They throw Error for one
  /// that is not there.
  PromptFile to_train() const { return file(train, "train", "train"); }
  PromptFile to_select() const { return file(select, "select", "test"); }
  PromptFile to_eval() const { return file(eval, "eval", "test"); }

 private:
  PromptFile file(const std::string& path, const char* key, const char* split) const;
};
void describe(Fields& fields, PromptFiles& prompts);

struct AlignOptions : TrainingOptions {
  std::string name;
  PromptFiles prompts;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  Chosen<Method> method;
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
