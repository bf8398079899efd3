// What a LoRA file holds, before it is known for which model: pairs of matrices in any of the layouts of
// lora_keys.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/weights/safetensors.h"

namespace thalweg {

struct LoraPair {
  std::string module, layout;  // as the file names it, see LoraKey
  bool flattened = false;
  std::string name;     // of the tensor `down` in the file
  at::Tensor down, up;  // [r, in] and [out, r]; of a convolution [r, in, k, k] and [out, r, 1, 1]
  double scale = 1.0;   // what up * down is multiplied by

  int64_t rank() const;
};

struct LoraContent {
  std::filesystem::path file;             // the .safetensors file that was read
  std::vector<LoraPair> pairs;            // by module
  std::vector<std::string> text_encoder;  // tensors for text encoders
  std::vector<std::string> unknown;       // tensors that are part of no pair
  Metadata metadata;
};

/// `path` is a .safetensors file, or a folder that holds adapter_model.safetensors (PEFT's save_pretrained,
/// alpha in adapter_config.json beside it) or pytorch_lora_weights.safetensors. Throws Error naming file and
/// tensor for a pair that is not whole or twice there, shapes that do not fit, ranks out of [1, 65536], NaN
/// or infinity, alpha that is no positive number or contradicts itself, and adapters that are no plain LoRA.
/// A file without pairs is no error here.
LoraContent read_lora_content(const std::filesystem::path& path);

}  // namespace thalweg
