#include "engine/weights/lora_sum.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace thalweg {
namespace {

constexpr std::string_view kDown = ".lora_A.weight";
constexpr std::string_view kUp = ".lora_B.weight";

struct Part {
  at::Tensor down, up;
  double strength;  // weight times scale
};

/// In no narrower a type than float32: a product would be rounded.
at::Tensor times(const at::Tensor& x, double factor) {
  return factor == 1.0 ? x : x.to(at::promote_types(x.scalar_type(), at::kFloat)) * factor;
}

}  // namespace

LoraFile sum_of(const std::vector<WeightedLora>& parts) {
  std::map<std::string, std::vector<Part>> by_layer;
  for (const auto& [lora, weight] : parts)
    for (const auto& [name, down] : lora.tensors) {
      if (!name.ends_with(kDown) || weight == 0.0) continue;
      const auto layer = name.substr(0, name.size() - kDown.size());
      by_layer[layer].push_back(
          {down, lora.tensors.at(layer + std::string(kUp)), weight * lora.scale_of(layer)});
    }
  LoraFile sum;
  for (const auto& [layer, of_layer] : by_layer) {
    // The largest strength is the scale, so that of one LoRA no tensor is touched.
    const double scale = std::max_element(of_layer.begin(), of_layer.end(), [](const Part& a, const Part& b) {
                           return std::fabs(a.strength) < std::fabs(b.strength);
                         })->strength;
    std::vector<at::Tensor> downs, ups;
    for (const auto& [down, up, strength] : of_layer) {
      downs.push_back(down);
      ups.push_back(times(up, strength / scale));
    }
    sum.tensors[layer + std::string(kDown)] = at::cat(downs, 0);
    sum.tensors[layer + std::string(kUp)] = at::cat(ups, 1);
    sum.scales[layer] = scale;
  }
  return sum;
}

}  // namespace thalweg
