// Which layers of a model a LoRA may adapt, and how its file may name them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/weights/lora_content.h"

namespace thalweg {

/// A layer by its diffusers name, and the shape of its weight: [out, in] or [out, channels, height, width].
struct LoraLayer {
  std::string name;
  std::vector<int64_t> shape;
};

/// What the model's original code calls `layers`, which read the same input: its output rows are theirs, one
/// after another (a fused q, k, v). `halves_swapped`: its two halves stand the other way round in the layer
/// of diffusers.
struct OriginalName {
  std::string name;
  std::vector<std::string> layers;
  bool halves_swapped = false;
};

/// A layer of the original that is several here, and its parts as OneTrainer names them, "ORIGINAL.0" and on.
void add_fused(std::vector<OriginalName>& names, const std::string& original,
               const std::vector<std::string>& layers);

struct LoraNames {
  std::vector<LoraLayer> layers;
  std::vector<OriginalName> originals;
};

/// Finds the layers of one model by what files call them.
class LoraResolver {
 public:
  explicit LoraResolver(const LoraNames& names);

  struct Part {
    std::string layer;
    at::Tensor down, up;  // of this layer alone
  };
  /// The pair as pairs of layers; none where the model has no such layer. Throws Error at `place` for a shape
  /// that does not fit.
  std::vector<Part> resolve(const LoraPair& pair, const std::string& place) const;

 private:
  struct Target {
    std::vector<std::string> layers;
    bool halves_swapped = false;
  };
  const Target* find(const LoraPair& pair) const;
  void add(const std::string& name, Target target);

  std::map<std::string, std::vector<int64_t>> shapes_;
  std::map<std::string, Target> dotted_, flattened_;
};

}  // namespace thalweg
