// A number a sample, against tensors of samples.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// numbers_B as a factor of x, in the dtype of x: [B,1,...], with as many dimensions as x.
at::Tensor per_sample(const at::Tensor& numbers_B, const at::Tensor& x);

}  // namespace thalweg
