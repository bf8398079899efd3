// Several LoRAs of one model as one, whose update is the sum of theirs.
#pragma once

#include <vector>

#include "engine/weights/lora_file.h"

namespace thalweg {

struct WeightedLora {
  LoraFile lora;
  double weight = 1.0;
};

/// Of each layer sum_k weight_k scale_k B_k A_k, exactly: the A_k one below the other, the B_k side by side,
/// of rank sum_k r_k. A layer may be adapted by some of them alone; where all weights are 0 nothing is left.
/// Of one LoRA its own tensors. Notes on what files hold beside are left out.
LoraFile sum_of(const std::vector<WeightedLora>& parts);

}  // namespace thalweg
