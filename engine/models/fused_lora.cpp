#include "engine/models/fused.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/models/fused_support.h"

namespace thalweg {
namespace {

using namespace fused;

struct LoraFunction : torch::autograd::Function<LoraFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const Optional& bias, const at::Tensor& a, const at::Tensor& b, double scale) {
    const auto flat = x.reshape({-1, x.size(-1)});
    const auto down = at::mm(flat, a.t());
    auto y = bias ? at::addmm(*bias, flat, weight.t()) : at::mm(flat, weight.t());
    y.addmm_(down, b.t(), 1.0, scale);
    ctx->save_for_backward({flat, weight, a, b, down});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["bias"] = bias.has_value();
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    return y.view(sizes);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &a = saved[2], &b = saved[3], &down = saved[4];
    const double scale = ctx->saved_data["scale"].toDouble();
    const auto g = gradients[0].reshape({-1, weight.size(0)});
    const auto g_down = at::mm(g, b);
    at::Tensor g_x;
    if (ctx->needs_input_grad(0)) {
      g_x = at::mm(g, weight);
      g_x.addmm_(g_down, a, 1.0, scale);
      auto sizes = gradients[0].sizes().vec();
      sizes.back() = weight.size(1);
      g_x = g_x.view(sizes);
    }
    const bool bias = ctx->saved_data["bias"].toBool();
    const size_t edge_a = bias ? 3 : 2;
    const auto wanted = [&](size_t edge, const auto& gradient) {
      return ctx->needs_input_grad(edge) ? gradient() : at::Tensor();
    };
    return {g_x,
            wanted(1, [&] { return at::mm(g.t(), x); }),
            bias ? wanted(2, [&] { return g.sum(0); }) : at::Tensor(),
            wanted(edge_a, [&] { return at::mm(g_down.t(), x).mul_(scale); }),
            wanted(edge_a + 1, [&] { return at::mm(g.t(), down).mul_(scale); }),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor lora_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       const at::Tensor& a, const at::Tensor& b, double scale) {
  return LoraFunction::apply(x, weight, optional(bias), a, b, scale);
}

}  // namespace thalweg
