#include "engine/losses/soft_value.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor soft_value_loss(const at::Tensor& a_B, const at::Tensor& u_B) {
  const auto a = a_B.detach();
  const auto y = a.exp();
  const auto of = [&](const at::Tensor& u) { return at::softplus(u) + y * at::softplus(-u); };
  return of(u_B) - of(a);
}

}  // namespace thalweg
