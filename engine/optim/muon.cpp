#include "engine/optim/muon.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

namespace thalweg {

at::Tensor orthogonalised(const at::Tensor& g_NRC, int64_t steps) {
  // Coefficients of the post: largest slope at zero while singular values stay near one.
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  const bool tall = g_NRC.size(1) > g_NRC.size(2);
  auto x = (tall ? g_NRC.transpose(1, 2) : g_NRC).contiguous();
  x = (x / x.norm(2, {1, 2}, /*keepdim=*/true).clamp_min(1e-7)).to(at::kBFloat16);
  for (int64_t i = 0; i < steps; ++i) {
    const auto gram = at::bmm(x, x.transpose(1, 2));
    const auto polynomial = at::baddbmm(gram, gram, gram, b, c);
    x = at::baddbmm(x, polynomial, x, a, 1.0);
  }
  return (tall ? x.transpose(1, 2) : x).to(at::kFloat);
}

void Muon::step(TensorMap& parameters, const TensorMap& gradients, double learning_rate) {
  c10::NoGradGuard no_grad;
  std::map<std::pair<int64_t, int64_t>, std::vector<std::string>> by_shape;
  for (const auto& [name, gradient] : gradients) {
    auto& momentum = momentum_[name];
    if (!momentum.defined()) momentum = at::zeros_like(gradient);
    momentum.lerp_(gradient, 1.0 - options_.momentum);
    by_shape[{gradient.size(0), gradient.size(1)}].push_back(name);
  }
  for (const auto& [shape, names] : by_shape) {
    std::vector<at::Tensor> looked_ahead;
    for (const auto& name : names)
      looked_ahead.push_back(at::lerp(gradients.at(name), momentum_.at(name), options_.momentum));
    const auto update = orthogonalised(at::stack(looked_ahead), options_.newton_schulz_steps);
    const double scale =
        std::sqrt(std::max(1.0, static_cast<double>(shape.first) / static_cast<double>(shape.second)));
    for (size_t i = 0; i < names.size(); ++i)
      parameters.at(names[i]).detach().sub_(update[static_cast<int64_t>(i)], learning_rate * scale);
  }
}

TensorMap Muon::state() const {
  TensorMap state;
  for (const auto& [name, momentum] : momentum_) state["momentum/" + name] = momentum;
  return state;
}

void Muon::load_state(const TensorMap& state) {
  momentum_.clear();
  for (const auto& [key, tensor] : state) momentum_[key.substr(key.find('/') + 1)] = tensor.clone();
}

}  // namespace thalweg
