#include "engine/weights/lora_names.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

std::string flattened(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string without(std::string name, const std::string& piece) {
  if (const auto at = name.find(piece); at != std::string::npos) name.erase(at, piece.size());
  return name;
}

std::string shown(at::IntArrayRef shape) {
  std::vector<std::string> sizes;
  for (const auto size : shape) sizes.push_back(std::to_string(size));
  return "[" + join(sizes) + "]";
}

}  // namespace

void add_fused(std::vector<OriginalName>& names, const std::string& original,
               const std::vector<std::string>& layers) {
  names.push_back({original, layers});
  for (size_t i = 0; i < layers.size(); ++i)
    names.push_back({original + "." + std::to_string(i), {layers[i]}});
}

LoraResolver::LoraResolver(const LoraNames& names) {
  for (const auto& layer : names.layers) {
    shapes_[layer.name] = layer.shape;
    add(layer.name, {{layer.name}, false});
  }
  for (const auto& original : names.originals) add(original.name, {original.layers, original.halves_swapped});
}

void LoraResolver::add(const std::string& name, Target target) {
  const bool fresh =
      flattened_.emplace(flattened(name), target).second && dotted_.emplace(name, target).second;
  TORCH_CHECK(fresh, "two layers are called ", name, " once their dots are underscores");
  for (const auto& layer : target.layers) TORCH_CHECK(shapes_.count(layer), name, " names no layer: ", layer);
}

const LoraResolver::Target* LoraResolver::find(const LoraPair& pair) const {
  const auto& known = pair.flattened ? flattened_ : dotted_;
  // Attention processors of old diffusers: "attn.processor.to_q", and "to_out" for "to_out.0".
  const auto bare = without(pair.module, ".processor");
  for (const auto& name : {pair.module, bare, bare + ".0"})
    if (const auto it = known.find(name); it != known.end()) return &it->second;
  return nullptr;
}

std::vector<LoraResolver::Part> LoraResolver::resolve(const LoraPair& pair, const std::string& place) const {
  const auto* target = find(pair);
  if (!target) return {};
  const auto& shape = shapes_.at(target->layers.front());
  auto down = pair.down, up = pair.up;
  // A linear layer stored as a convolution of 1 x 1.
  if (shape.size() == 2 && down.dim() == 4 && down.size(2) == 1 && down.size(3) == 1)
    down = down.flatten(1), up = up.flatten(1);
  std::vector<int64_t> rows;  // of each layer
  for (const auto& layer : target->layers) rows.push_back(shapes_.at(layer)[0]);
  auto expected_down = shape;
  expected_down[0] = pair.rank();
  std::vector<int64_t> expected_up(shape.size(), 1);
  expected_up[0] = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  expected_up[1] = pair.rank();
  if (down.sizes() != at::IntArrayRef(expected_down) || up.sizes() != at::IntArrayRef(expected_up))
    throw Error(place, "LoRA pair " + shown_name(pair.name) + " is " + shown(down.sizes()) + " and " +
                           shown(up.sizes()) + "; layer " + join(target->layers) + " of this model needs " +
                           shown(expected_down) + " and " + shown(expected_up));
  if (target->halves_swapped) up = at::roll(up, up.size(0) / 2, 0);
  std::vector<Part> result;
  const auto parts = up.split_with_sizes(rows, 0);
  for (size_t i = 0; i < parts.size(); ++i) result.push_back({target->layers[i], down, parts[i]});
  return result;
}

}  // namespace thalweg
