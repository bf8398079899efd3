// Bradley and Terry (1952): P(first preferred) = sigmoid(u_first - u_second).
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// -log P of the order in which `r` has a pair, [P]; a tie says nothing: 0. `r` are constants.
at::Tensor bradley_terry_loss(const at::Tensor& r_first_P, const at::Tensor& r_second_P,
                              const at::Tensor& u_first_P, const at::Tensor& u_second_P);

}  // namespace thalweg
