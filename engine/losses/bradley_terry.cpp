#include "engine/losses/bradley_terry.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor bradley_terry_loss(const at::Tensor& r_first_P, const at::Tensor& r_second_P,
                              const at::Tensor& u_first_P, const at::Tensor& u_second_P) {
  const auto sign_P = (r_first_P - r_second_P).detach().sign();
  return at::softplus(-sign_P * (u_first_P - u_second_P)) * sign_P.abs();
}

}  // namespace thalweg
