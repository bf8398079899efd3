// LoRA files. Written in the one layout that `pipe.load_lora_weights` of diffusers reads for every family:
// "transformer.<module>.lora_A.weight" [r, in] and ".lora_B.weight" [out, r], no ".alpha" tensors (diffusers
// refuses them for SD3 and Wan), ranks and alphas as JSON in the metadata "lora_adapter_metadata". Read in
// that layout and those of lora_keys.h.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/weights/lora_names.h"
#include "engine/weights/lora_pattern.h"
#include "engine/weights/safetensors.h"

namespace thalweg {

struct LoraFile {
  TensorMap tensors;   // "<layer>.lora_A.weight", "<layer>.lora_B.weight"; ranks may differ between layers
  double scale = 1.0;  // alpha / rank, of most layers
  std::map<std::string, double> scales = {};  // of those that have another
  int64_t matched = 0;                        // modules of the file that were found in the model
  std::vector<std::string> unmatched;         // modules and tensors of the file that were not
  std::vector<std::string> text_encoder;      // tensors of the file for text encoders
  Metadata metadata;

  double scale_of(const std::string& layer) const;
  /// Ranks and alphas of the layers, the commonest ones for all others.
  LoraStrength strength() const;
  /// "3 of 12 modules match no layer of the model and are left out: a, b, c"; empty when all match.
  std::string note() const;
};

/// Writes `tensors`, named as in LoraFile. `target_modules` are the modules' names or their common endings,
/// as PEFT takes them. `metadata` is added to what diffusers reads and may not replace it. Throws Error
/// naming `path` when a tensor is not one of a pair of its rank in `strength`, or the file cannot be written.
void write_lora(const std::filesystem::path& path, const TensorMap& tensors, const LoraStrength& strength,
                const std::vector<std::string>& target_modules, const Metadata& metadata = {});

/// Reads a file or folder (read_lora_content) for the model that `names` describes. Throws Error naming the
/// file when not one module matches, a shape does not fit, or two modules mean one layer.
LoraFile read_lora(const std::filesystem::path& path, const LoraNames& names);

}  // namespace thalweg
