// Names of LoRA tensors as trainers and programs write them. A name is a prefix, a module and an ending:
//
//   prefix                                 module                         ending
//   transformer.           diffusers       names with dots                .lora_A.weight / .lora_B.weight
//   base_model.model.      PEFT                                           .lora_A.ADAPTER.weight (state dicts
//   of PEFT) diffusion_model.       ComfyUI                                        .lora_down.weight /
//   .lora_up.weight lora_unet_             kohya           '.' written as '_'             .lora.down.weight /
//   .lora.up.weight lora_transformer_      OneTrainer      '.' written as '_'             _lora.down.weight
//   (attention processors) (none)                                                                .alpha
//
// Any prefix may meet any ending, and modules may be named as in diffusers or as in the model's original
// code.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace thalweg {

enum class LoraPart { down, up, alpha };

struct LoraKey {
  LoraPart part = LoraPart::down;
  std::string module;      // without prefix and ending
  bool flattened = false;  // its dots are underscores
  std::string layout;      // "kohya: lora_unet_*.lora_down.weight"
};

/// The parts of a tensor's name; none where it belongs to no LoRA pair. Throws Error at `place` for adapters
/// that are known and not supported: DoRA, LoHa, LoKr, OFT, Tucker cores, biases, whole differences.
std::optional<LoraKey> parse_lora_key(const std::string& name, const std::string& place);

/// Whether the name belongs to a text encoder, in any layout.
bool is_text_encoder_key(const std::string& name);

/// " (its keys look like those of FLUX)" when a name tells another family, else "".
std::string family_guess(const std::vector<std::string>& names);

}  // namespace thalweg
