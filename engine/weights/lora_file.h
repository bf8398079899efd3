// LoRA files as `pipe.load_lora_weights` of diffusers reads them: "transformer.<module>.lora_A.weight" [r,
// in] and
// ".lora_B.weight" [out, r], no ".alpha" tensors (diffusers refuses them for SD3 and Wan), rank and alpha as
// JSON in the metadata "lora_adapter_metadata".
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/weights/safetensors.h"

namespace thalweg {

struct LoraFile {
  TensorMap tensors;   // "<module>.lora_A.weight", "<module>.lora_B.weight"
  double scale = 1.0;  // alpha / rank, or alpha / sqrt(rank) with rsLoRA; 1 when the file does not say
  std::vector<std::string> unused;  // tensors of the file that belong to other components (text encoders)
  Metadata metadata;
};

/// Writes `tensors`, named as in LoraFile. `target_modules` are the modules' names or their common endings,
/// as PEFT takes them. `metadata` is added to what diffusers reads and may not replace it. Throws Error
/// naming `path` when a tensor is not one of a pair of `rank`, or the file cannot be written.
void write_lora(const std::filesystem::path& path, const TensorMap& tensors, int64_t rank, double alpha,
                const std::vector<std::string>& target_modules, const Metadata& metadata = {});

/// Throws Error naming `path` when no tensor has the layout above, a pair is not whole, a number is not
/// finite, or the file asks for what is not supported: ".alpha" tensors, DoRA, rank or alpha patterns.
LoraFile read_lora(const std::filesystem::path& path);

}  // namespace thalweg
