// Sections that several kinds of job share: each an options struct with its description.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/fields.h"
#include "engine/models/flow_model.h"
#include "engine/weights/lora_file.h"
#include "pipelines/observer.h"
#include "pipelines/prompt_file.h"
#include "pipelines/sampler_section.h"
#include "rewards/reward_set.h"

namespace thalweg {

struct LoraSection {
  std::string path;  // weights to start from
  int64_t rank = 32;
  double alpha = 64.0;
  LoraPatterns rank_pattern, alpha_pattern;  // of layers that have others
  std::vector<std::string> targets;          // suffixes of module names; empty: the family's default
  std::string text_encoders = "refuse";      // a file's part for them; or "ignore"

  /// Of the adapted layers. Throws Error at the pattern that fits none of them.
  LoraStrength strength(const std::vector<std::string>& layers) const;
};

/// One of several LoRAs whose updates are added up.
struct AddedLora {
  LoraSection lora;  // its path and text_encoders
  double weight = 1.0;
};

/// Encoded prompts that are kept on disk for later runs.
struct PromptCacheSection {
  std::string folder;  // empty: the user's cache folder
  double max_gb = 20.0;
};

struct ModelSection {
  std::string path, dtype = "float32", vae_dtype = "float32";
  int64_t max_sequence_length = -1;  // the family's own, once fill_model() was here
  double embedded_guidance = 0.0;    // 0: the family's own
  bool activation_checkpointing = false, has_lora = false;
  std::string variant;  // of the files of weights
  LoraSection lora;
  std::vector<AddedLora> loras;  // of jobs that draw, in place of the one
  PromptCacheSection prompt_cache;

  ModelOptions options(at::Device device = at::kCPU) const;
};
void describe(Fields& fields, ModelSection& model);
/// "loras", of a job that draws and trains nothing.
void describe_loras(Fields& fields, ModelSection& model);

/// Where a job that has a model or rewards computes: two keys of the job itself.
struct DeviceSection {
  std::string name = "cpu";
  bool deterministic = false;

  /// Throws Error at /device for one that is not here.
  at::Device require() const;
  /// Ready to compute on; says so where the numbers may not come again.
  at::Device open(const Observer& observer) const;
};
void describe(Fields& fields, DeviceSection& device);

struct ParallelSection {
  int64_t workers = 0;  // 0: one a core
  int64_t lanes = 2, micro_batch = 16;

  /// One on a GPU: a single thread keeps it busy, micro-batch after micro-batch.
  int64_t worker_count(at::Device device = at::kCPU) const;
};
void describe(Fields& fields, ParallelSection& parallel);

struct CheckpointSection {
  int64_t every = 10, keep = 3;
};
void describe(Fields& fields, CheckpointSection& checkpoint);

/// The combiner; "weighted" is the first of its kind.
struct CombineSection {
  std::string name = "weighted";
};
void describe(Fields& fields, CombineSection& combine);

/// Prompts of a .txt (one a line) or .jsonl file (key "prompt"); the JSON of each line goes to the rewards.
struct PromptList {
  std::vector<std::string> prompts;
  std::vector<std::string> metadata_json;
};

/// Throws Error at the file's pointer or in it with the line's number. At most `limit` prompts (0: all).
PromptList read_prompts(const PromptFile& file, int64_t limit = 0);

/// Throws Error at `pointer` unless `path` is a regular file (or folder).
void require_file(const std::string& path, const std::string& pointer);
void require_model(const ModelSection& model);
/// Throws Error at /output for a folder that is the model's or lies inside of it: what a run writes would
/// become a part of the model that it reads.
void require_outside(const std::string& output, const ModelSection& model);
/// Throws Error at /negative_prompt for one that nothing reads: no guidance scale is above 1.
void require_guided(const std::string& negative_prompt, const std::vector<double>& guidance_scales);
/// What can be said of the section's patterns before the model's layers are known. Throws Error at the
/// pattern.
void require_lora_patterns(const LoraSection& lora);
/// Throws Error at /model/lora for a model without layers to adapt.
void require_lora_layers(const LoraNames& names);

/// The LoRA that the section names, for this model. Throws Error for a file that also adapts text encoders,
/// unless the section says to ignore that: without that part it draws other pictures than the file's author
/// saw.
LoraFile read_model_lora(const LoraSection& section, const FlowModel& model);

/// The LoRAs of the section as one: "lora", or the sum of "loras"; none where it names neither. Tells the
/// observer what of their files is left out. Throws Error, for one of several at its pointer.
std::optional<LoraFile> read_loras(const ModelSection& section, const FlowModel& model,
                                   const Observer& observer);

/// What of the file is left out, as a line for the user; empty when nothing is.
std::string lora_note(const LoraSection& section, const LoraFile& lora);

/// What samples will be.
struct ScoredSize {
  SizeSection size;
  double fps = 0.0;  // of those of several frames; 0: each input says its own
};

/// Plugin folders of this installation; activates the rewards for samples of that size. `device`: where
/// networks of theirs run. `log` takes what they say.
std::unique_ptr<RewardSet> make_rewards(const std::vector<RewardSpec>& specs, const ScoredSize& samples,
                                        int64_t max_batch, int64_t seed, at::Device device,
                                        const RewardLog& log);

/// For a job that does not train: throws Error at /model/lora when a LoRA is asked for and no file is named,
/// or ranks by layer, which are the file's; at /model/loras for both, or a file that is not there.
void require_lora_file(const ModelSection& model);

/// The files of the section's LoRAs, by their pointers.
std::vector<std::pair<std::string, std::string>> lora_paths(const ModelSection& model);

/// The scheduler config beside a LoRA of the section that says the steps of a few-step generator; empty: none
/// does. Throws Error at /model/loras where two say different levels, and naming a file that is malformed.
std::filesystem::path lora_scheduler(const ModelSection& model);

/// Checks that plugins exist and may be loaded, without loading weights, and that each reward is of some use:
/// `steered` are the uses beside train and watch that this job's steering knows.
void require_plugins(const std::vector<RewardSpec>& specs, const std::vector<RewardUse>& steered = {});

}  // namespace thalweg
