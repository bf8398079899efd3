#include "engine/losses/soft_value.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor soft_value_loss(const at::Tensor& a_B, const at::Tensor& u_B) {
  const auto d = a_B.detach() - u_B;
  return at::expm1(d) - d;
}

}  // namespace thalweg
