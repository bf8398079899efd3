// What a checkpoint of an `align` run says for `thalweg export`, which activates no reward and does not read
// the LoRA that training started from.
#pragma once

#include <string>

#include "pipelines/training/state.h"

namespace thalweg {

struct TraineeNotes {
  std::string rewards;      // trained_rewards()
  double lora_alpha = 1.0;  // of the adapter; 1 without one

  void state(RunState& state) {
    state.text("trained_rewards", rewards);
    state.number("lora_alpha", lora_alpha);
  }
};

}  // namespace thalweg
