#include "pipelines/stages/lora_block.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"

namespace thalweg {

void require_blocks(const LoraStrength& whole, const std::vector<std::string>& layers, int64_t count) {
  for (const auto& layer : layers)
    if (const auto rank = whole.rank_of(layer); rank % count != 0)
      throw Error(whole.ranks.contains(layer) ? "/model/lora/rank_pattern" : "/model/lora/rank",
                  "gives " + layer + " rank " + std::to_string(rank) + ", which is no multiple of " +
                      std::to_string(count) +
                      ": each of as many rewards of weight other than 0 has an equal "
                      "block of the ranks");
}

TensorMap block_of(const TensorMap& whole, const LoraBlock& block) {
  TensorMap part;
  for (const auto& [name, tensor] : whole) {
    const int64_t ranks = name.ends_with(".lora_A.weight") ? 0 : 1;
    const int64_t size = tensor.size(ranks) / block.count;
    part[name] = tensor.narrow(ranks, block.index * size, size).contiguous();
  }
  return part;
}

LoraStrength strength_of(const LoraStrength& whole, const LoraBlock& block) {
  const double count = static_cast<double>(block.count);
  LoraStrength part{whole.rank / block.count, whole.alpha / count / block.weight};
  for (const auto& [layer, rank] : whole.ranks) part.ranks[layer] = rank / block.count;
  for (const auto& [layer, alpha] : whole.alphas) part.alphas[layer] = alpha / count / block.weight;
  return part;
}

}  // namespace thalweg
