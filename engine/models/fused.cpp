#include "engine/models/fused.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/models/fused_support.h"

namespace thalweg {
namespace {

using namespace fused;

template <typename T>
cpu::Modulation<T> modulation(const at::Tensor& t_B1D) {
  return {data<T>(t_B1D), t_B1D.stride(0)};
}

// Rows of one sample next to each other; samples may lie apart, as chunks of a wider tensor do.
at::Tensor rows(const at::Tensor& t_B1D) {
  return t_B1D.stride(2) == 1 ? t_B1D : t_B1D.contiguous();
}

cpu::Tokens tokens(const at::Tensor& x_BLD) {
  return {x_BLD.size(0), x_BLD.size(1), x_BLD.size(2)};
}

at::Tensor sample_rows_like(const at::Tensor& x_BLD, bool wanted) {
  return wanted ? at::empty({x_BLD.size(0), 1, x_BLD.size(2)}, x_BLD.options()) : at::Tensor();
}

struct LayerNormResult {
  at::Tensor y, mean, rstd;
};

LayerNormResult fused_layer_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale,
                                 double eps) {
  const auto statistics = x.options().dtype(at::kFloat);
  LayerNormResult r{at::empty_like(x), at::empty({x.size(0) * x.size(1)}, statistics),
                    at::empty({x.size(0) * x.size(1)}, statistics)};
  with_type(x, [&](auto type) {
    using T = decltype(type);
    cpu::kernels<T>().layer_norm(data<T>(x), modulation<T>(shift), modulation<T>(scale), mutable_data<T>(r.y),
                                 mutable_data<float>(r.mean), mutable_data<float>(r.rstd), tokens(x),
                                 static_cast<float>(eps));
  });
  return r;
}

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& shift,
                            const at::Tensor& scale, double eps) {
    const auto r = fused_layer_norm(x, shift, scale, eps);
    ctx->save_for_backward({x, scale, r.mean, r.rstd});
    return r.y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &scale = saved[1];
    const auto g = gradients[0].contiguous();
    const bool modulated = ctx->needs_input_grad(1) || ctx->needs_input_grad(2);
    const auto g_x = at::empty_like(x), g_shift = sample_rows_like(x, modulated),
               g_scale = sample_rows_like(x, modulated);
    with_type(x, [&](auto type) {
      using T = decltype(type);
      cpu::kernels<T>().layer_norm_backward(
          data<T>(g), data<T>(x), modulation<T>(scale), data<float>(saved[2]), data<float>(saved[3]),
          mutable_data<T>(g_x), mutable_data<T>(g_shift), mutable_data<T>(g_scale), tokens(x));
    });
    return {g_x, g_shift, g_scale, at::Tensor()};
  }
};

at::Tensor fused_gated_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& y) {
  const auto out = at::empty_like(x);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    cpu::kernels<T>().gated_sum(data<T>(x), modulation<T>(gate), data<T>(y), mutable_data<T>(out), tokens(x));
  });
  return out;
}

struct GatedSumFunction : torch::autograd::Function<GatedSumFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& gate,
                            const at::Tensor& y) {
    ctx->save_for_backward({gate, gate.requires_grad() ? y : at::Tensor()});
    return fused_gated_sum(x, gate, y);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto& gate = saved[0];
    const auto g = gradients[0].contiguous();
    const auto g_y = at::empty_like(g), g_gate = sample_rows_like(g, saved[1].defined());
    with_type(g, [&](auto type) {
      using T = decltype(type);
      cpu::kernels<T>().gated_sum_backward(data<T>(g), modulation<T>(gate), data<T>(saved[1]),
                                           mutable_data<T>(g_y), mutable_data<T>(g_gate), tokens(g));
    });
    return {g, g_gate, g_y};
  }
};

at::Tensor fused_gelu(const at::Tensor& x) {
  const auto y = at::empty_like(x);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    cpu::kernels<T>().gelu(data<T>(x), mutable_data<T>(y), x.numel());
  });
  return y;
}

struct GeluFunction : torch::autograd::Function<GeluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    return fused_gelu(x);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto x = ctx->get_saved_variables()[0];
    const auto g = gradients[0].contiguous(), g_x = at::empty_like(x);
    with_type(x, [&](auto type) {
      using T = decltype(type);
      cpu::kernels<T>().gelu_backward(data<T>(g), data<T>(x), mutable_data<T>(g_x), x.numel());
    });
    return {g_x};
  }
};

bool is_interleaved(const at::Tensor& x_BCHW) {
  return x_BCHW.is_contiguous(at::MemoryFormat::ChannelsLast) && x_BCHW.size(1) % 16 == 0;
}

cpu::Pictures pictures(const at::Tensor& x, int64_t groups) {
  return {x.size(0), x.size(1), x.size(2) * x.size(3), groups};
}

// mean and rstd may be undefined.
at::Tensor fused_group_norm_silu(const Norm& norm, const at::Tensor& x, const at::Tensor& mean,
                                 const at::Tensor& rstd) {
  const auto y = at::empty_like(x);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    const auto pass = is_interleaved(x) ? kernels.group_norm_silu_interleaved : kernels.group_norm_silu;
    pass(data<T>(x), data<T>(norm.weight), data<T>(norm.bias), mutable_data<T>(y), mutable_data<float>(mean),
         mutable_data<float>(rstd), pictures(x, norm.width), static_cast<float>(norm.eps));
  });
  return y;
}

struct GroupNormSiluFunction : torch::autograd::Function<GroupNormSiluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t groups, double eps) {
    const auto mean =
        at::empty({x.size(0) * groups}, x.options().dtype(at::kFloat).memory_format(std::nullopt));
    const auto rstd = at::empty_like(mean);
    ctx->save_for_backward({x, weight, bias, mean, rstd});
    ctx->saved_data["groups"] = groups;
    return fused_group_norm_silu({weight, bias, groups, eps}, x, mean, rstd);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2];
    const bool interleaved = is_interleaved(x),
               learned = ctx->needs_input_grad(1) || ctx->needs_input_grad(2);
    const auto g =
        gradients[0].contiguous(interleaved ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
    const auto g_x = at::empty_like(x);
    const auto sums = learned ? at::zeros({2, x.size(1)}, saved[3].options()) : at::Tensor();
    const auto g_weight = learned ? sums[0] : at::Tensor(), g_bias = learned ? sums[1] : at::Tensor();
    with_type(x, [&](auto type) {
      using T = decltype(type);
      const auto& kernels = cpu::kernels<T>();
      const auto pass =
          interleaved ? kernels.group_norm_silu_backward_interleaved : kernels.group_norm_silu_backward;
      pass(data<T>(g), data<T>(x), data<T>(weight), data<T>(bias), data<float>(saved[3]),
           data<float>(saved[4]), mutable_data<T>(g_x), mutable_data<float>(g_weight),
           mutable_data<float>(g_bias), pictures(x, ctx->saved_data["groups"].toInt()));
    });
    if (!learned) return {g_x, {}, {}, {}, {}};
    return {g_x, g_weight.to(weight.scalar_type()), g_bias.to(bias.scalar_type()), {}, {}};
  }
};

}  // namespace

at::Tensor modulated_layer_norm(const at::Tensor& x_BLD, const at::Tensor& shift_B1D,
                                const at::Tensor& scale_B1D, double eps) {
  if (!is_fused(x_BLD))
    return at::addcmul(shift_B1D, at::layer_norm(x_BLD, {x_BLD.size(2)}, {}, {}, eps), scale_B1D + 1.0);
  const auto x = x_BLD.contiguous(), shift = rows(shift_B1D), scale = rows(scale_B1D);
  if (needs_gradient({x, shift, scale})) return LayerNormFunction::apply(x, shift, scale, eps);
  return fused_layer_norm(x, shift, scale, eps).y;
}

at::Tensor gated_sum(const at::Tensor& x_BLD, const at::Tensor& gate_B1D, const at::Tensor& y_BLD) {
  if (!is_fused(x_BLD)) return at::addcmul(x_BLD, gate_B1D, y_BLD);
  const auto x = x_BLD.contiguous(), gate = rows(gate_B1D), y = y_BLD.contiguous();
  if (needs_gradient({x, gate, y})) return GatedSumFunction::apply(x, gate, y);
  return fused_gated_sum(x, gate, y);
}

at::Tensor gelu_tanh(const at::Tensor& x) {
  if (!is_fused(x)) return at::gelu(x, "tanh");
  const auto dense = x.contiguous();
  return needs_gradient({dense}) ? GeluFunction::apply(dense) : fused_gelu(dense);
}

at::Tensor group_norm_silu(const Norm& norm, const at::Tensor& x_BCHW) {
  if (!is_fused(x_BCHW) || norm.weight.scalar_type() != x_BCHW.scalar_type())
    return at::silu(group_norm(norm, x_BCHW));
  const auto x = is_interleaved(x_BCHW) ? x_BCHW : x_BCHW.contiguous();
  if (needs_gradient({x, norm.weight, norm.bias}))
    return GroupNormSiluFunction::apply(x, norm.weight, norm.bias, norm.width, norm.eps);
  return fused_group_norm_silu(norm, x, {}, {});
}

}  // namespace thalweg
