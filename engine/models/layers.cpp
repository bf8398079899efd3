#include "engine/models/layers.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "engine/models/fused.h"

namespace thalweg {

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (lora_a.defined()) return lora_linear(x, weight, bias, lora_a, lora_b, lora_scale);
  return at::linear(x, weight, bias);
}

at::Tensor Conv2d::operator()(const at::Tensor& x_BCHW) const {
  auto y = at::conv2d(x_BCHW, weight, bias, {stride, stride}, {padding, padding});
  if (lora_a.defined())
    y = y +
        at::conv2d(at::conv2d(x_BCHW, lora_a, {}, {stride, stride}, {padding, padding}), lora_b) * lora_scale;
  return y;
}

Linear Conv2d::over_patches() const {
  Linear linear{weight.flatten(1), bias, {}, {}, lora_scale};
  if (lora_a.defined()) linear.lora_a = lora_a.flatten(1), linear.lora_b = lora_b.flatten(1);
  return linear;
}

at::Tensor layer_norm(const Norm& norm, const at::Tensor& x) {
  return at::layer_norm(x, {norm.width}, norm.weight, norm.bias, norm.eps);
}

at::Tensor group_norm(const Norm& norm, const at::Tensor& x) {
  return at::group_norm(x, norm.width, norm.weight, norm.bias, norm.eps);
}

at::Tensor rms_norm(const Norm& norm, const at::Tensor& x) {
  const auto x32 = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const auto scale = at::rsqrt(x32.square().mean(-1, /*keepdim=*/true) + norm.eps);
  auto y = (x32 * scale).to(x.scalar_type());
  return norm.weight.defined() ? y * norm.weight : y;
}

at::Tensor attention(const at::Tensor& q_BHLD, const at::Tensor& k_BHLD, const at::Tensor& v_BHLD,
                     bool causal, AttentionBackend backend) {
  if (backend == AttentionBackend::automatic) {
    // The fused CPU backward costs a third of a training step below about 128 tokens (measured).
    const bool few = q_BHLD.device().is_cpu() && q_BHLD.size(2) <= 128;
    backend = few ? AttentionBackend::matmul : AttentionBackend::fused;
  }
  if (backend == AttentionBackend::fused)
    return at::scaled_dot_product_attention(q_BHLD, k_BHLD, v_BHLD, {}, 0.0, causal);
  // One batch axis before the products: a product over four axes would copy k transposed, element by element.
  const auto flat = [](const at::Tensor& t) {
    return t.reshape({t.size(0) * t.size(1), t.size(2), t.size(3)});
  };
  const auto q = flat(q_BHLD), k = flat(k_BHLD), v = flat(v_BHLD);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2)));
  auto logits = at::baddbmm(at::empty({1}, q.options()), q, k.transpose(1, 2), /*beta=*/0.0, scale);
  if (causal) {
    const auto above = at::ones({q.size(1), q.size(1)}, q.options().dtype(at::kBool)).triu(1);
    logits = logits.masked_fill(above, -std::numeric_limits<double>::infinity());
  }
  return at::bmm(logits.softmax(-1), v).view(q_BHLD.sizes());
}

}  // namespace thalweg
