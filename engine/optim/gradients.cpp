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
  size_t last = 0;  // until then the graph is kept
  for (size_t i = 0; i < losses.size(); ++i)
    if (losses[i].defined()) last = i;
  std::vector<TensorMap> gradients(losses.size());
  for (size_t i = 0; i < losses.size(); ++i)
    if (losses[i].defined()) gradients[i] = gradients_of(losses[i], parameters, i < last);
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

at::Tensor inner_products(const std::vector<TensorMap>& gradients) {
  c10::NoGradGuard no_grad;
  const auto K = static_cast<int64_t>(gradients.size());
  std::vector<at::Tensor> products;
  std::vector<std::pair<int64_t, int64_t>> places;
  for (int64_t i = 0; i < K; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      const auto& other = gradients[static_cast<size_t>(j)];
      at::Tensor sum;
      for (const auto& [name, tensor] : gradients[static_cast<size_t>(i)]) {
        const auto found = other.find(name);
        if (found == other.end()) continue;
        const auto product = (tensor.to(at::kDouble) * found->second.to(at::kDouble)).sum();
        sum = sum.defined() ? sum + product : product;
      }
      if (!sum.defined()) continue;
      products.push_back(sum);
      places.emplace_back(i, j);
    }
  auto gram_KK = at::zeros({K, K}, at::kDouble);
  if (products.empty()) return gram_KK;
  const auto read = at::stack(products).cpu();
  for (size_t n = 0; n < places.size(); ++n) {
    const auto [i, j] = places[n];
    gram_KK[i][j] = gram_KK[j][i] = read[static_cast<int64_t>(n)];
  }
  return gram_KK;
}

TensorMap combined(std::vector<TensorMap> gradients, const std::vector<double>& coefficients) {
  c10::NoGradGuard no_grad;
  TORCH_CHECK(gradients.size() == coefficients.size(), "one coefficient a gradient");
  TensorMap sum;
  for (size_t k = 0; k < gradients.size(); ++k) {
    if (coefficients[k] == 0.0) continue;
    for (auto& [name, tensor] : gradients[k]) tensor.mul_(coefficients[k]);
    accumulate(sum, std::move(gradients[k]));
  }
  return sum;
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
