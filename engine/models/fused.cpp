#include "engine/models/fused.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/models/cpu/kernels.h"

namespace thalweg {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool is_fused(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

template <typename T>
const T* data(const at::Tensor& t) {
  return t.defined() ? reinterpret_cast<const T*>(t.const_data_ptr()) : nullptr;
}

template <typename T>
T* mutable_data(const at::Tensor& t) {
  return t.defined() ? reinterpret_cast<T*>(t.mutable_data_ptr()) : nullptr;
}

// Calls work(T{}) with the element type of the kernels.
template <typename Work>
void with_type(const at::Tensor& x, const Work& work) {
  if (x.scalar_type() == at::kFloat)
    work(float{});
  else
    work(cpu::BFloat16{});
}

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

// Autograd takes an absent tensor as an absent option, not as an undefined tensor.
using Optional = std::optional<at::Tensor>;

Optional optional(const at::Tensor& t) {
  return t.defined() ? Optional(t) : std::nullopt;
}

at::Tensor tensor(const Optional& t) {
  return t.value_or(at::Tensor());
}

at::Tensor sample_rows_like(const at::Tensor& x_BLD, bool wanted) {
  return wanted ? at::empty({x_BLD.size(0), 1, x_BLD.size(2)}, x_BLD.options()) : at::Tensor();
}

bool needs_gradient(std::initializer_list<at::Tensor> inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto& t : inputs)
    if (t.defined() && t.requires_grad()) return true;
  return false;
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

at::Tensor fused_group_norm_silu(const Norm& norm, const at::Tensor& x) {
  const auto y = at::empty_like(x);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    const cpu::Pictures pictures{x.size(0), x.size(1), x.size(2) * x.size(3), norm.width};
    const auto& kernels = cpu::kernels<T>();
    const auto pass = is_interleaved(x) ? kernels.group_norm_silu_interleaved : kernels.group_norm_silu;
    pass(data<T>(x), data<T>(norm.weight), data<T>(norm.bias), mutable_data<T>(y), pictures,
         static_cast<float>(norm.eps));
  });
  return y;
}

// Only the pretraining of an autoencoder differentiates it: the backward goes through ATen's operations.
struct GroupNormSiluFunction : torch::autograd::Function<GroupNormSiluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t groups, double eps) {
    ctx->save_for_backward({x, weight, bias});
    ctx->saved_data["groups"] = groups;
    ctx->saved_data["eps"] = eps;
    return fused_group_norm_silu({weight, bias, groups, eps}, x);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const at::AutoGradMode with_gradients(true);
    variable_list inputs;
    for (const auto& t : ctx->get_saved_variables()) inputs.push_back(t.detach().requires_grad_(true));
    const Norm norm{inputs[1], inputs[2], ctx->saved_data["groups"].toInt(),
                    ctx->saved_data["eps"].toDouble()};
    auto result = torch::autograd::grad({at::silu(group_norm(norm, inputs[0]))}, inputs, {gradients[0]});
    result.resize(result.size() + 2);  // groups and eps
    return result;
  }
};

// The tensors of a joint attention in one order: q, k, v, norm_q, norm_k of x, then of the context.
constexpr size_t kPerStream = 5, kStreams = 2;

struct AttentionCall {
  variable_list inputs;
  int64_t heads;
  double eps;

  cpu::AttentionShape shape() const {
    const auto& q = inputs[0];
    return {q.size(0), heads, q.size(2) / heads, inputs[3].defined(), static_cast<float>(eps)};
  }
  const at::Tensor& of(size_t stream, size_t part) const { return inputs[stream * kPerStream + part]; }
  template <typename T>
  cpu::AttentionStream<T> stream(size_t i) const {
    if (!of(i, 0).defined()) return {};
    return {of(i, 0).size(1),
            data<T>(of(i, 0)),
            data<T>(of(i, 1)),
            data<T>(of(i, 2)),
            data<T>(of(i, 3)),
            data<T>(of(i, 4)),
            nullptr};
  }
};

variable_list fused_attention(const AttentionCall& call) {
  variable_list outs;
  for (size_t i = 0; i < kStreams; ++i)
    if (call.of(i, 0).defined()) outs.push_back(at::empty_like(call.of(i, 0)));
  with_type(call.inputs[0], [&](auto type) {
    using T = decltype(type);
    cpu::AttentionStream<T> streams[kStreams] = {call.stream<T>(0), call.stream<T>(1)};
    for (size_t i = 0; i < outs.size(); ++i) streams[i].out = mutable_data<T>(outs[i]);
    cpu::kernels<T>().attention(streams, call.shape());
  });
  return outs;
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  // Each tensor an argument of its own: gradients of tensors inside of a vector would be lost.
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v, const Optional& norm_q, const Optional& norm_k,
                               const Optional& context_q, const Optional& context_k,
                               const Optional& context_v, const Optional& context_norm_q,
                               const Optional& context_norm_k, int64_t heads, double eps) {
    variable_list inputs = {q, k, v};
    for (const auto* t :
         {&norm_q, &norm_k, &context_q, &context_k, &context_v, &context_norm_q, &context_norm_k})
      inputs.push_back(tensor(*t));
    ctx->save_for_backward(inputs);
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["eps"] = eps;
    return fused_attention({inputs, heads, eps});
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const AttentionCall call{ctx->get_saved_variables(), ctx->saved_data["heads"].toInt(),
                             ctx->saved_data["eps"].toDouble()};
    variable_list outs, of_inputs;
    for (auto& g : gradients) outs.push_back(g.defined() ? g.contiguous() : g);
    size_t edge = 0;  // absent tensors have none
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      const auto& input = call.inputs[i];
      const bool is_norm = i % kPerStream >= 3;
      const bool wanted = input.defined() && ctx->needs_input_grad(edge++);
      if (!input.defined() || (is_norm && !wanted))
        of_inputs.emplace_back();
      else
        of_inputs.push_back(is_norm ? at::zeros(input.sizes(), input.options().dtype(at::kFloat))
                                    : at::empty_like(input));
    }
    with_type(call.inputs[0], [&](auto type) {
      using T = decltype(type);
      const cpu::AttentionStream<T> streams[kStreams] = {call.stream<T>(0), call.stream<T>(1)};
      cpu::AttentionGradient<T> to[kStreams];
      for (size_t i = 0; i < outs.size(); ++i) {
        const auto* part = &of_inputs[i * kPerStream];
        to[i] = {data<T>(outs[i]),         mutable_data<T>(part[0]),     mutable_data<T>(part[1]),
                 mutable_data<T>(part[2]), mutable_data<float>(part[3]), mutable_data<float>(part[4])};
      }
      cpu::kernels<T>().attention_backward(streams, to, call.shape());
    });
    for (size_t i = 0; i < of_inputs.size(); ++i)
      if (of_inputs[i].defined()) of_inputs[i] = of_inputs[i].to(call.inputs[i].scalar_type());
    of_inputs.resize(of_inputs.size() + 2);  // heads and eps
    return of_inputs;
  }
};

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

JointAttention plain_attention(const TokenStream& x, const TokenStream& context, int64_t heads) {
  // Normed before the transposition, joined after it: the join is the only copy.
  const auto split = [&](const at::Tensor& t, const Norm& norm) {
    const auto y = t.view({t.size(0), t.size(1), heads, t.size(2) / heads});
    return (norm.weight.defined() ? rms_norm(norm, y) : y).transpose(1, 2);
  };
  auto q = split(x.q, x.norm_q), k = split(x.k, x.norm_k), v = split(x.v, {});
  if (context.q.defined()) {
    q = at::cat({q, split(context.q, context.norm_q)}, 2);
    k = at::cat({k, split(context.k, context.norm_k)}, 2);
    v = at::cat({v, split(context.v, {})}, 2);
  }
  const auto y = attention(q, k, v).transpose(1, 2).flatten(2);
  const int64_t length = x.q.size(1);
  if (!context.q.defined()) return {y, {}};
  return {y.slice(1, 0, length), y.slice(1, length)};
}

bool attention_is_fused(const TokenStream& x, const TokenStream& context, int64_t heads) {
  const int64_t head_dim = x.q.size(2) / heads;
  const int64_t length = x.q.size(1) + (context.q.defined() ? context.q.size(1) : 0);
  return is_fused(x.q) && length <= cpu::kMaxTokens && head_dim <= cpu::kMaxHeadDim && head_dim % 16 == 0;
}

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
  return fused_group_norm_silu(norm, x);
}

JointAttention joint_attention(const TokenStream& x, const TokenStream& context, int64_t heads) {
  if (!attention_is_fused(x, context, heads)) return plain_attention(x, context, heads);
  variable_list t;
  bool gradient = false;
  for (const auto* stream : {&x, &context})
    for (const auto& part : {stream->q, stream->k, stream->v, stream->norm_q.weight, stream->norm_k.weight}) {
      t.push_back(part.defined() ? part.contiguous() : part);
      gradient = gradient || needs_gradient({part});
    }
  const double eps = x.norm_q.eps;
  const auto outs = gradient ? AttentionFunction::apply(t[0], t[1], t[2], optional(t[3]), optional(t[4]),
                                                        optional(t[5]), optional(t[6]), optional(t[7]),
                                                        optional(t[8]), optional(t[9]), heads, eps)
                             : fused_attention({t, heads, eps});
  return {outs[0], outs.size() > 1 ? outs[1] : at::Tensor()};
}

at::Tensor lora_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       const at::Tensor& a, const at::Tensor& b, double scale) {
  return LoraFunction::apply(x, weight, optional(bias), a, b, scale);
}

}  // namespace thalweg
