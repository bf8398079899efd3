// Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): a part of a network that keeps its inputs
// alone and runs again in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace thalweg {

/// Activations in, activations out; the same tensors again on the same inputs (no randomness, no side
/// effects). It may run later and on another thread, so it owns what it captures.
using NetworkPart = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& activations)>;

/// part(activations), with the same gradients to the bit where each tensor outside of the part has one use in
/// it. `parameters` must name every captured tensor that needs a gradient, or it gets none; leaves, casts of
/// leaves and tensors that need none are all welcome. No output may be one of the inputs. First derivatives
/// only. With gradients off, or where nothing needs one, it is part(activations) and no more.
std::vector<at::Tensor> checkpointed(NetworkPart part, const std::vector<at::Tensor>& activations,
                                     const std::vector<at::Tensor>& parameters);

}  // namespace thalweg
