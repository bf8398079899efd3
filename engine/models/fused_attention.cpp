#include "engine/models/fused.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/models/fused_support.h"

namespace thalweg {
namespace {

using namespace fused;

// The tensors of a joint attention in one order: q, k, v, norm_q, norm_k of x, then of the context; then cos
// and sin of x, and of the context.
constexpr size_t kPerStream = 5, kStreams = 2, kTrained = kPerStream * kStreams;

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
            data<float>(inputs[kTrained + 2 * i]),
            data<float>(inputs[kTrained + 2 * i + 1]),
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
                               const Optional& context_norm_k, const Optional& cos, const Optional& sin,
                               const Optional& context_cos, const Optional& context_sin, int64_t heads,
                               double eps) {
    variable_list inputs = {q, k, v};
    for (const auto* t : {&norm_q, &norm_k, &context_q, &context_k, &context_v, &context_norm_q,
                          &context_norm_k, &cos, &sin, &context_cos, &context_sin})
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
    for (size_t i = 0; i < kTrained; ++i) {
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
    of_inputs.resize(call.inputs.size() + 2);  // none of angles, heads and eps
    return of_inputs;
  }
};

JointAttention plain_attention(const TokenStream& x, const TokenStream& context, int64_t heads) {
  // Normed before the transposition, joined after it: the join is the only copy.
  const auto split = [&](const at::Tensor& t, const Norm& norm, const Rotation& rotation) {
    auto y = t.view({t.size(0), t.size(1), heads, t.size(2) / heads});
    if (norm.weight.defined()) y = rms_norm(norm, y);
    return (rotation.defined() ? rotated(y, rotation) : y).transpose(1, 2);
  };
  auto q = split(x.q, x.norm_q, x.rotation), k = split(x.k, x.norm_k, x.rotation), v = split(x.v, {}, {});
  if (context.q.defined()) {
    q = at::cat({q, split(context.q, context.norm_q, context.rotation)}, 2);
    k = at::cat({k, split(context.k, context.norm_k, context.rotation)}, 2);
    v = at::cat({v, split(context.v, {}, {})}, 2);
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

JointAttention joint_attention(const TokenStream& x, const TokenStream& context, int64_t heads) {
  if (!attention_is_fused(x, context, heads)) return plain_attention(x, context, heads);
  variable_list t;
  bool gradient = false;
  for (const auto* stream : {&x, &context})
    for (const auto& part : {stream->q, stream->k, stream->v, stream->norm_q.weight, stream->norm_k.weight}) {
      t.push_back(part.defined() ? part.contiguous() : part);
      gradient = gradient || needs_gradient({part});
    }
  for (const auto* stream : {&x, &context}) {
    t.push_back(stream->rotation.cos_LP);
    t.push_back(stream->rotation.sin_LP);
  }
  const double eps = x.norm_q.eps;
  const auto outs =
      gradient ? AttentionFunction::apply(t[0], t[1], t[2], optional(t[3]), optional(t[4]), optional(t[5]),
                                          optional(t[6]), optional(t[7]), optional(t[8]), optional(t[9]),
                                          optional(t[10]), optional(t[11]), optional(t[12]), optional(t[13]),
                                          heads, eps)
               : fused_attention({t, heads, eps});
  return {outs[0], outs.size() > 1 ? outs[1] : at::Tensor()};
}

}  // namespace thalweg
