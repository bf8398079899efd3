// `thalweg lora`: what a LoRA file holds, what of it a model takes, and the file in the layout of diffusers.
#pragma once

#include <string>

namespace thalweg::cli {

struct LoraArguments {
  std::string path, model, to;
};

/// Throws Error where the file cannot be used, or matches no layer of the model.
void show_lora(const LoraArguments& arguments);

}  // namespace thalweg::cli
