#include "engine/optim/adamw.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace thalweg {

void AdamW::step(TensorMap& parameters, const TensorMap& gradients, double learning_rate) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> p, g, m, v, max_v, steps;
  for (const auto& [name, gradient] : gradients) {
    auto& parameter = parameters.at(name);
    auto& moments = moments_[name];
    if (!moments.step.defined())
      moments = {at::zeros_like(parameter), at::zeros_like(parameter),
                 at::zeros({}, parameter.options().dtype(at::kFloat))};
    moments.step.add_(1);
    p.push_back(parameter.detach());
    // The fused kernel reads memory in order whatever the strides are.
    g.push_back(gradient.contiguous());
    m.push_back(moments.exp_avg);
    v.push_back(moments.exp_avg_sq);
    steps.push_back(moments.step);
  }
  if (p.empty()) return;
  at::_fused_adamw_(p, g, m, v, max_v, steps, learning_rate, options_.beta1, options_.beta2,
                    options_.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
}

TensorMap AdamW::state() const {
  TensorMap state;
  for (const auto& [name, moments] : moments_) {
    state["exp_avg/" + name] = moments.exp_avg;
    state["exp_avg_sq/" + name] = moments.exp_avg_sq;
    state["step/" + name] = moments.step;
  }
  return state;
}

void AdamW::load_state(const TensorMap& state) {
  moments_.clear();
  for (const auto& [key, tensor] : state) {
    const auto slash = key.find('/');
    const auto kind = key.substr(0, slash), name = key.substr(slash + 1);
    if (kind == "exp_avg") moments_[name].exp_avg = tensor.clone();
    if (kind == "exp_avg_sq") moments_[name].exp_avg_sq = tensor.clone();
    if (kind == "step") moments_[name].step = tensor.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  }
}

}  // namespace thalweg
