#include "engine/optim/gradients.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <set>

namespace thalweg {

namespace {

TensorMap gradients_of(const at::Tensor& loss, const TensorMap& parameters, bool keeps_graph) {
  std::vector<at::Tensor> inputs;
  for (const auto& [name, tensor] : parameters) inputs.push_back(tensor);
  const auto grads = torch::autograd::grad({loss}, inputs, {}, keeps_graph, false, /*allow_unused=*/true);
  TensorMap gradients;
  std::set<const void*> storages;
  size_t i = 0;
  for (const auto& [name, tensor] : parameters) {
    const auto& gradient = grads[i++];
    if (!gradient.defined()) continue;
    // Autograd may return expanded or transposed tensors, and one tensor for two parameters.
    const auto dense = gradient.contiguous();
    const bool shared = !storages.insert(dense.storage().unsafeGetStorageImpl()).second;
    gradients[name] = shared ? dense.clone() : dense;
  }
  return gradients;
}

double norm_of(const std::vector<at::Tensor>& list) {
  return at::stack(at::_foreach_norm(list, 2.0)).to(at::kDouble).norm().item<double>();
}

}  // namespace

TensorMap gradients_of(const at::Tensor& loss, const TensorMap& parameters) {
  return gradients_of(loss, parameters, false);
}

std::vector<TensorMap> gradients_of(const std::vector<at::Tensor>& losses, const TensorMap& parameters) {
  std::vector<TensorMap> gradients;
  for (size_t i = 0; i < losses.size(); ++i)
    gradients.push_back(gradients_of(losses[i], parameters, i + 1 < losses.size()));
  return gradients;
}

TensorMap leaves(const TensorMap& parameters) {
  TensorMap result;
  for (const auto& [name, tensor] : parameters) result[name] = tensor.detach().set_requires_grad(true);
  return result;
}

void accumulate(TensorMap& sum, TensorMap&& term) {
  c10::NoGradGuard no_grad;
  for (auto& [name, tensor] : term) {
    auto& target = sum[name];
    if (target.defined())
      target.add_(tensor);
    else
      target = std::move(tensor);
  }
}

double clip_gradients(TensorMap& gradients, double max_norm, double max_value) {
  c10::NoGradGuard no_grad;
  if (gradients.empty()) return 0.0;
  std::vector<at::Tensor> list;
  for (const auto& [name, tensor] : gradients) list.push_back(tensor);
  const double before = norm_of(list);
  if (!std::isfinite(before)) return before;
  double norm = before;
  if (max_value > 0.0) {
    at::_foreach_clamp_min_(list, -max_value);
    at::_foreach_clamp_max_(list, max_value);
    norm = norm_of(list);
  }
  if (norm > max_norm) at::_foreach_mul_(list, max_norm / (norm + 1e-6));
  return before;
}

void ema_update(TensorMap& average, const TensorMap& value, double decay) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> a, v;
  for (auto& [name, tensor] : average) {
    a.push_back(tensor);
    v.push_back(value.at(name).detach());
  }
  if (!a.empty()) at::_foreach_lerp_(a, v, 1.0 - decay);
}

TensorMap cloned(const TensorMap& tensors) {
  TensorMap copy;
  for (const auto& [name, tensor] : tensors) copy[name] = tensor.detach().clone();
  return copy;
}

TensorMap cast(const TensorMap& tensors, at::ScalarType dtype) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) result[name] = tensor.to(dtype);
  return result;
}

}  // namespace thalweg
