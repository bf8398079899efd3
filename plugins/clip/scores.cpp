#include "scores.h"

#include <ATen/ATen.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/models/binder.h"
#include "engine/models/vision/clip_model.h"
#include "engine/weights/safetensors.h"

namespace clip {
namespace {

using thalweg::Binder;
using thalweg::Error;
using thalweg::Linear;
using thalweg::TensorMap;

/// Names of the head's layers, first to last.
std::vector<std::string> layers_of(const TensorMap& tensors, const std::string& place) {
  if (tensors.contains("weight")) return {""};
  if (tensors.contains("layers.0.weight") && tensors.contains("layers.7.weight"))
    return {"layers.0.", "layers.2.", "layers.4.", "layers.6.", "layers.7."};
  throw Error(place,
              "is no aesthetic head: it must hold weight and bias, or layers.{0,2,4,6,7}.weight and .bias (a "
              "network without activations)");
}

/// A layer as wide as the file says, and checked against what comes before it.
Linear bind_layer(const Binder& head, const TensorMap& tensors, const std::string& prefix, int64_t in) {
  auto binder = head.sub(prefix);
  const auto weight = tensors.find(prefix + "weight");
  const bool matrix = weight != tensors.end() && weight->second.dim() == 2;
  const auto out = matrix ? weight->second.size(0) : 1;
  Linear layer;
  layer.weight = binder.tensor("weight", {out, in}, thalweg::Init::fixed);
  layer.bias = binder.tensor("bias", {out}, thalweg::Init::fixed);
  return layer;
}

}  // namespace

Score cosine() {
  return [](const at::Tensor& image_P, const at::Tensor& text_P) { return at::dot(image_P, text_P); };
}

Score clipscore() {
  return [](const at::Tensor& image_P, const at::Tensor& text_P) {
    return 2.5 * at::relu(at::dot(image_P, text_P));
  };
}

Score logit(const at::Tensor& logit_scale) {
  return [scale = at::exp(logit_scale)](const at::Tensor& image_P, const at::Tensor& text_P) {
    return scale * at::dot(image_P, text_P);
  };
}

Score pickscore(const at::Tensor& logit_scale) {
  constexpr double kUsualMost = 26.0;
  return [scale = at::exp(logit_scale) / kUsualMost](const at::Tensor& image_P, const at::Tensor& text_P) {
    return scale * at::dot(image_P, text_P);
  };
}

Score goal(const at::Tensor& goal_P, const at::Tensor& baseline_P, double alpha) {
  const auto direction_P = thalweg::unit_length(goal_P - baseline_P);
  return [goal_P, direction_P, alpha](const at::Tensor& image_P, const at::Tensor&) {
    // proj(s) - g is the part of s - g along the line, so the vector splits into that and the rest.
    const auto off_P = image_P - goal_P;
    const auto along_P = at::dot(off_P, direction_P) * direction_P;
    return 1.0 - (along_P + (1.0 - alpha) * (off_P - along_P)).square().sum() / 2.0;
  };
}

Score aesthetic(const std::filesystem::path& head, int64_t embed_dim) {
  const auto place = head.string();
  auto tensors = thalweg::read_safetensors(head).tensors;
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kFloat);
  const Binder binder(tensors, place);
  std::vector<Linear> layers;
  int64_t width = embed_dim;
  for (const auto& prefix : layers_of(tensors, place)) {
    layers.push_back(bind_layer(binder, tensors, prefix, width));
    if (layers.back().weight.defined()) width = layers.back().weight.size(0);
  }
  binder.finish();
  if (width != 1) throw Error(place, "gives " + std::to_string(width) + " numbers for a picture, not 1");
  return [layers = std::move(layers)](const at::Tensor& image_P, const at::Tensor&) {
    auto x_D = image_P;
    for (const auto& layer : layers) x_D = layer(x_D);
    return x_D.squeeze();
  };
}

}  // namespace clip
