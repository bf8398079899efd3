// What a model needs, from its configs and the headers of its files: nothing is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/models/binder.h"

namespace thalweg {

struct ComponentSize {
  std::string name;  // of the folder
  double parameters = 0.0, stored_bytes = 0.0;
};

/// Of one picture at the size asked for. Elements are counted, whatever their dtype.
struct ModelSize {
  ComponentSize backbone, vae;
  std::vector<ComponentSize> text_encoders;
  std::vector<ParameterSpec> specs;               // of the backbone
  std::vector<std::string> default_lora_targets;  // as FlowModel's
  double forward_flops = 0.0;                     // of the backbone, one call, one sample
  double forward_elements = 0.0;                  // alive at once in a forward without gradients
  double saved_elements = 0.0;                    // kept for the backward of training
  double saved_for_input_elements = 0.0;          // kept where the latents alone ask for gradients
  double decode_flops = 0.0, decode_elements = 0.0;
  double decode_rows = 1.0;            // samples that are decoded at once
  double decode_saved_elements = 0.0;  // kept for the backward to the latents
  double encode_flops = 0.0;           // one prompt, all text encoders
  double prompt_elements = 0.0;        // conditioning of one prompt
  double latent_elements = 0.0, frame_elements = 0.0;
};

}  // namespace thalweg
