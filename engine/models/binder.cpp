#include "engine/models/binder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/core/rng.h"

namespace thalweg {

struct Binder::State {
  const TensorMap* tensors = nullptr;  // null: declaring
  const Adapter* adapter = nullptr;
  std::string place;
  std::vector<ParameterSpec> specs;
  std::set<std::string> used, adapted;
  std::vector<std::string> missing, misshapen;
};

namespace {

std::string shown(at::IntArrayRef shape) {
  std::vector<std::string> sizes;
  for (const auto size : shape) sizes.push_back(std::to_string(size));
  return "[" + join(sizes) + "]";
}

std::string some(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  const size_t n = std::min(names.size(), kShown);
  auto text = join({names.begin(), names.begin() + static_cast<std::ptrdiff_t>(n)});
  if (names.size() > n) text += " and " + std::to_string(names.size() - n) + " more";
  return text;
}

}  // namespace

Binder::Binder(const TensorMap& tensors, std::string place, const Adapter* adapter)
    : state_(std::make_shared<State>()) {
  state_->tensors = &tensors;
  state_->adapter = adapter;
  state_->place = std::move(place);
}

Binder::Binder() : state_(std::make_shared<State>()) {}

Binder Binder::sub(const std::string& prefix) const {
  Binder below = *this;
  below.prefix_ += prefix;
  return below;
}

std::vector<at::Tensor> Binder::all() const {
  std::vector<at::Tensor> found;
  const auto add = [&](const TensorMap& tensors) {
    for (auto it = tensors.lower_bound(prefix_); it != tensors.end() && it->first.starts_with(prefix_); ++it)
      found.push_back(it->second);
  };
  if (state_->tensors) add(*state_->tensors);
  if (state_->adapter) add(state_->adapter->tensors);
  return found;
}

at::Tensor Binder::tensor(const std::string& name, std::vector<int64_t> shape, Init init, int64_t fan_in) {
  const auto full = prefix_ + name;
  state_->specs.push_back({full, shape, init, fan_in});
  if (!state_->tensors) return {};
  state_->used.insert(full);
  const auto it = state_->tensors->find(full);
  if (it == state_->tensors->end()) {
    state_->missing.push_back(full);
    return {};
  }
  if (it->second.sizes() != at::IntArrayRef(shape))
    state_->misshapen.push_back(full + " is " + shown(it->second.sizes()) + ", not " + shown(shape));
  return it->second;
}

Linear Binder::linear(const std::string& name, int64_t in, int64_t out, bool bias, Init init) {
  Linear layer;
  layer.weight = tensor(name + ".weight", {out, in}, init, in);
  if (bias) {
    const auto bias_init = init == Init::kaiming_uniform ? Init::bias_of_fan_in : Init::zeros;
    layer.bias = tensor(name + ".bias", {out}, bias_init, in);
  }
  adapt(layer, name, {out, in});
  return layer;
}

template <typename Layer>
void Binder::adapt(Layer& layer, const std::string& name, const std::vector<int64_t>& shape) {
  if (!state_->adapter) return;
  const auto full = prefix_ + name;
  const auto a = state_->adapter->tensors.find(full + ".lora_A.weight");
  const auto b = state_->adapter->tensors.find(full + ".lora_B.weight");
  if (a == state_->adapter->tensors.end() || b == state_->adapter->tensors.end()) return;
  state_->adapted.insert(a->first);
  state_->adapted.insert(b->first);
  auto down = shape;
  std::vector<int64_t> up(shape.size(), 1);
  down[0] = up[1] = a->second.dim() > 0 ? a->second.size(0) : 0;
  up[0] = shape[0];
  if (a->second.sizes() != at::IntArrayRef(down) || b->second.sizes() != at::IntArrayRef(up)) {
    state_->misshapen.push_back(full + "'s LoRA pair " + shown(a->second.sizes()) + " " +
                                shown(b->second.sizes()) + " does not fit a layer of " + shown(shape));
    return;
  }
  layer.lora_a = a->second;
  layer.lora_b = b->second;
  const auto& scales = state_->adapter->scales;
  const auto own = scales.find(full);
  layer.lora_scale = own == scales.end() ? state_->adapter->scale : own->second;
}

Conv2d Binder::conv2d(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                      int64_t padding) {
  Conv2d layer;
  layer.stride = stride;
  layer.padding = padding;
  const int64_t fan_in = in * kernel * kernel;
  layer.weight = tensor(name + ".weight", {out, in, kernel, kernel}, Init::kaiming_uniform, fan_in);
  layer.bias = tensor(name + ".bias", {out}, Init::bias_of_fan_in, fan_in);
  adapt(layer, name, {out, in, kernel, kernel});
  return layer;
}

Norm Binder::layer_norm(const std::string& name, int64_t width, double eps) {
  return {tensor(name + ".weight", {width}, Init::ones), tensor(name + ".bias", {width}, Init::zeros), width,
          eps};
}

Norm Binder::group_norm(const std::string& name, int64_t groups, int64_t channels, double eps) {
  return {tensor(name + ".weight", {channels}, Init::ones), tensor(name + ".bias", {channels}, Init::zeros),
          groups, eps};
}

Norm Binder::rms_norm(const std::string& name, int64_t width, double eps) {
  return {tensor(name + ".weight", {width}, Init::ones), {}, width, eps};
}

void Binder::finish() const {
  std::string problems;
  const auto add = [&](const std::string& what, const std::vector<std::string>& names) {
    if (!names.empty())
      problems +=
          (problems.empty() ? "" : "; ") + std::to_string(names.size()) + " " + what + ": " + some(names);
  };
  std::vector<std::string> extra, unmatched;
  if (state_->tensors)
    for (const auto& [name, tensor] : *state_->tensors)
      if (!state_->used.count(name)) extra.push_back(name);
  if (state_->adapter)
    for (const auto& [name, tensor] : state_->adapter->tensors)
      if (!state_->adapted.count(name)) unmatched.push_back(name);
  add("tensors are missing", state_->missing);
  add("tensors have another shape than the config says", state_->misshapen);
  add("tensors are not of this model", extra);
  add("adapter tensors match no linear layer", unmatched);
  if (!problems.empty()) throw Error(state_->place, problems);
}

const std::vector<ParameterSpec>& Binder::specs() const {
  return state_->specs;
}

TensorMap initial_parameters(const std::vector<ParameterSpec>& specs, uint64_t seed) {
  TensorMap parameters;
  for (const auto& spec : specs) {
    if (spec.init == Init::fixed) continue;
    // A stream per name (FNV-1a), so a layer's start does not depend on its neighbours.
    uint64_t slot = 1469598103934665603ull;
    for (const char c : spec.name) slot = (slot ^ static_cast<unsigned char>(c)) * 1099511628211ull;
    const auto normal =
        normal_noise(seed, Purpose::parameters, {static_cast<int64_t>(slot >> 1)}, 0, spec.shape)[0];
    // The normal CDF turns the same draw into a uniform in (-1,1).
    const auto uniform = at::erf(normal / std::sqrt(2.0));
    const double fan_in = static_cast<double>(std::max<int64_t>(spec.fan_in, 1));
    at::Tensor value;
    switch (spec.init) {
      case Init::zeros:
        value = at::zeros(spec.shape);
        break;
      case Init::ones:
        value = at::ones(spec.shape);
        break;
      case Init::normal_002:
        value = normal * 0.02;
        break;
      case Init::xavier_uniform:
        value = uniform * std::sqrt(6.0 / (fan_in + static_cast<double>(spec.shape[0])));
        break;
      case Init::kaiming_uniform:
      case Init::bias_of_fan_in:
        value = uniform / std::sqrt(fan_in);
        break;
      case Init::fixed:
        break;
    }
    parameters[spec.name] = value.contiguous();
  }
  return parameters;
}

}  // namespace thalweg
