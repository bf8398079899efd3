// What a LoRA file says about the run that made it. Nothing in it depends on the day, the machine or the
// folder: the same job and seed write the same file.
#pragma once

#include <optional>

#include "engine/weights/safetensors.h"
#include "pipelines/align/options.h"
#include "pipelines/stages/policy.h"
#include "rewards/reward_set.h"

namespace thalweg {

/// A model in training, as far as what is exported says of it.
struct TrainedModel {
  const AlignOptions& options;
  const FlowModel& model;
  const PolicySpace& space;
  std::string rewards;                     // trained_rewards()
  std::optional<Schedule> generator = {};  // exported_levels()
};

/// JSON of dimension and weight, of the rewards that count.
std::string trained_rewards(const RewardSet& rewards);

/// `blocks` of the method: what is exported beside the whole LoRA.
std::vector<LoraBlock> exported_blocks(const TrainedModel& trained);

/// ModelSpec 1.0.1 (https://github.com/Stability-AI/ModelSpec) without its date, the two keys of sd-scripts
/// that user interfaces show, and "thalweg.*". `parameters` are those that the file will hold, `iteration`
/// made them. Reads the backbone's files for their hash.
Metadata lora_metadata(const TrainedModel& trained, const TensorMap& parameters, int64_t iteration);

/// That of the whole, as a block by itself says it: its own rank, alpha and hash, its name and its weight in
/// the whole ("thalweg.head", "thalweg.head_weight").
Metadata block_metadata(Metadata whole, const TrainedModel& trained, const TensorMap& parameters,
                        const LoraBlock& block);

/// modelspec.hash_sha256 of a file of these tensors: of its data without the header.
std::string modelspec_hash(const TensorMap& tensors);

/// "/name" of the job, or else its method and model.
std::string job_name(const AlignOptions& options);

}  // namespace thalweg
