// Latents as tokens: one for each square of p x p, rows before columns.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thalweg {

/// [B,C,H,W] to [B, H/p W/p, C p p], a patch's numbers in the order (channel, row, column). H and W are
/// multiples of p.
at::Tensor patches_of(const at::Tensor& x_BCHW, int64_t p);

/// The inverse: of `rows` x `columns` patches.
at::Tensor picture_of_patches(const at::Tensor& patches_BLD, int64_t rows, int64_t columns, int64_t p);

}  // namespace thalweg
