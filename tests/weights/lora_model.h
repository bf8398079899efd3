// A small model's layer names, and LoRA pairs for it.
#pragma once

#include <ATen/ATen.h>

#include "engine/weights/lora_file.h"
#include "tests/weights/files.h"

namespace thalweg::testing {

inline LoraNames lora_model() {
  const std::string attn = "blocks.0.attn.";
  return {{{attn + "to_q", {5, 6}},
           {attn + "to_k", {5, 6}},
           {attn + "to_v", {5, 6}},
           {attn + "to_out.0", {5, 5}},
           {"norm_out.linear", {4, 6}},
           {"patch.proj", {7, 3, 2, 2}}},
          {{"joint.0.x_block.attn.qkv", {attn + "to_q", attn + "to_k", attn + "to_v"}},
           {"joint.0.x_block.attn.proj", {attn + "to_out.0"}},
           {"final.modulation.1", {"norm_out.linear"}, true},
           {"x_embedder.proj", {"patch.proj"}}}};
}

/// The same numbers each time.
inline at::Tensor numbers(const std::vector<int64_t>& shape, double shift = 0.0) {
  int64_t count = 1;
  for (const auto size : shape) count *= size;
  return at::sin(at::arange(count, at::kFloat) * 0.7 + shift).view(shape);
}

/// up * down * scale of a layer, in float64.
inline at::Tensor effect(const LoraFile& lora, const std::string& layer) {
  const auto down = lora.tensors.at(layer + ".lora_A.weight"), up = lora.tensors.at(layer + ".lora_B.weight");
  return at::matmul(up.flatten(1).to(at::kDouble), down.flatten(1).to(at::kDouble)) * lora.scale_of(layer);
}

}  // namespace thalweg::testing
