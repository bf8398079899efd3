// A LoRA cut along its ranks: of K equal blocks each is a LoRA of its own, and the whole is their sum.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/values.h"
#include "engine/weights/lora_pattern.h"

namespace thalweg {

/// The `index`-th of `count` blocks. By itself its update is divided by `weight`, so that the whole is the
/// mixture of the blocks by their weights.
struct LoraBlock {
  std::string name;
  int64_t index = 0, count = 1;
  double weight = 1.0;
};

/// Throws Error at /model/lora/rank or /model/lora/rank_pattern unless every one of `layers` has a rank that
/// is a multiple of `count`.
void require_blocks(const LoraStrength& whole, const std::vector<std::string>& layers, int64_t count);

/// Its rows of each "<layer>.lora_A.weight" and columns of each "<layer>.lora_B.weight", [r / count, in] and
/// [out, r / count]: contiguous, and of the same graph, so that gradients reach the block alone.
TensorMap block_of(const TensorMap& whole, const LoraBlock& block);

/// Ranks and alphas of the block by itself.
LoraStrength strength_of(const LoraStrength& whole, const LoraBlock& block);

}  // namespace thalweg
