#include "engine/weights/lora_keys.h"

#include <algorithm>
#include <array>

#include "engine/core/error.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

struct Prefix {
  std::string_view text;
  bool flattened;
  std::string_view whose;
};
// A prefix that begins with another stands before it.
constexpr std::array kPrefixes = {
    Prefix{"lora_transformer_", true, "OneTrainer"},
    Prefix{"lora_unet_", true, "kohya"},
    Prefix{"lycoris_", true, "LyCORIS"},
    Prefix{"transformer.", false, "diffusers"},
    Prefix{"base_model.model.", false, "PEFT"},
    Prefix{"model.diffusion_model.", false, "ComfyUI"},
    Prefix{"diffusion_model.", false, "ComfyUI"},
    Prefix{"", false, "no prefix"},
};

struct Ending {
  std::string_view text;
  LoraPart part;
};
constexpr std::array kEndings = {
    Ending{".lora_A.weight", LoraPart::down},
    Ending{".lora_B.weight", LoraPart::up},
    Ending{".lora_down.weight", LoraPart::down},
    Ending{".lora_up.weight", LoraPart::up},
    Ending{".lora.down.weight", LoraPart::down},
    Ending{".lora.up.weight", LoraPart::up},
    Ending{"_lora.down.weight", LoraPart::down},
    Ending{"_lora.up.weight", LoraPart::up},
    Ending{".lora_linear_layer.down.weight", LoraPart::down},
    Ending{".lora_linear_layer.up.weight", LoraPart::up},
    Ending{".alpha", LoraPart::alpha},
};

struct Foreign {
  std::string_view text;
  bool at_end;  // or anywhere
  std::string_view what;
};
constexpr std::array kForeign = {
    Foreign{".dora_scale", false, "DoRA"},
    Foreign{".lora_magnitude_vector", false, "DoRA"},
    Foreign{".hada_", false, "LoHa"},
    Foreign{".lokr_", false, "LoKr"},
    Foreign{".oft_", false, "OFT"},
    Foreign{".lora_mid.", false, "a LoCon with a Tucker core"},
    Foreign{".lora_B.bias", true, "a LoRA with biases"},
    Foreign{".lora_up.bias", true, "a LoRA with biases"},
    Foreign{".lora.up.bias", true, "a LoRA with biases"},
    Foreign{".diff", true, "a whole difference of weights"},
    Foreign{".diff_b", true, "a whole difference of biases"},
};

struct Family {
  std::string_view text;
  std::string_view name;
};
constexpr std::array kFamilies = {
    Family{"down_blocks", "a U-Net (Stable Diffusion 1, 2 or XL)"},
    Family{"input_blocks", "a U-Net (Stable Diffusion 1, 2 or XL)"},
    Family{"single_transformer_blocks", "FLUX"},
    Family{"double_blocks", "FLUX or HunyuanVideo"},
    Family{"single_blocks", "FLUX or HunyuanVideo"},
    Family{"cross_attn", "Wan"},
    Family{"attn1", "Wan"},
    Family{"joint_blocks", "Stable Diffusion 3"},
    Family{"add_q_proj", "Stable Diffusion 3 or FLUX"},
};

/// "x.lora_A.default.weight" -> "x.lora_A.weight".
std::string without_adapter_name(const std::string& name) {
  constexpr std::string_view kWeight = ".weight";
  for (const std::string_view half : {".lora_A.", ".lora_B."}) {
    const auto at = name.rfind(half);
    if (at == std::string::npos || !name.ends_with(kWeight)) continue;
    const auto begin = at + half.size() - 1;  // the dot after lora_A
    const auto end = name.size() - kWeight.size();
    if (begin < end && name.find('.', begin + 1) == end) return name.substr(0, begin) + std::string(kWeight);
  }
  return name;
}

}  // namespace

std::optional<LoraKey> parse_lora_key(const std::string& full_name, const std::string& place) {
  for (const auto& foreign : kForeign)
    if (foreign.at_end ? full_name.ends_with(foreign.text)
                       : full_name.find(foreign.text) != std::string::npos)
      throw Error(place,
                  "tensor " + shown_name(full_name) + " is of " + std::string(foreign.what) +
                      ", which is not supported: merge it into a plain LoRA with the program that made it");
  const auto name = without_adapter_name(full_name);
  for (const auto& ending : kEndings) {
    if (!name.ends_with(ending.text)) continue;
    for (const auto& prefix : kPrefixes) {
      if (!name.starts_with(prefix.text)) continue;
      if (name.size() <= prefix.text.size() + ending.text.size()) return std::nullopt;
      LoraKey key{ending.part,
                  name.substr(prefix.text.size(), name.size() - prefix.text.size() - ending.text.size()),
                  prefix.flattened, ""};
      const auto head = prefix.text.size() + key.module.size();  // the adapter's name stands behind it
      key.layout = std::string(prefix.whose) + ": " + std::string(prefix.text) + "*" + full_name.substr(head);
      return key;
    }
  }
  return std::nullopt;
}

bool is_text_encoder_key(const std::string& name) {
  for (const char* prefix :
       {"text_encoder.", "text_encoder_2.", "text_encoder_3.", "text_encoders.", "lora_te"})
    if (name.starts_with(prefix)) return true;
  return false;
}

std::string family_guess(const std::vector<std::string>& names) {
  for (const auto& family : kFamilies)
    if (std::any_of(names.begin(), names.end(),
                    [&](const auto& name) { return name.find(family.text) != std::string::npos; }))
      return " (its keys look like those of " + std::string(family.name) + ")";
  return "";
}

}  // namespace thalweg
