// What happens to gradients and averages of parameters between a loss and an optimizer.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// Gradients of `loss` for `parameters` (leaves that require gradients), by name; a parameter that the loss
/// does not reach gets none. Contiguous, each in memory of its own: they may be changed in place.
TensorMap gradients_of(const at::Tensor& loss, const TensorMap& parameters);

/// The same of several losses of one graph, a backward pass each; none where a loss is not defined.
std::vector<TensorMap> gradients_of(const std::vector<at::Tensor>& losses, const TensorMap& parameters);

/// Detached leaves that require gradients and share the tensors' storage.
TensorMap leaves(const TensorMap& parameters);

/// sum += term, name by name; takes the term's tensors when sum has none.
void accumulate(TensorMap& sum, TensorMap&& term);

/// Inner products over all parameters, [K,K] in float64 on the CPU; what a map lacks is 0 there.
at::Tensor inner_products(const std::vector<TensorMap>& gradients);

/// sum_k coefficients[k] gradients[k]. One of coefficient 0 is not looked at, whatever it holds.
TensorMap combined(std::vector<TensorMap> gradients, const std::vector<double>& coefficients);

/// Clamps each element to +-max_value (0: no bound), then scales to at most `max_norm` in the global 2-norm,
/// in place. Returns the norm before both; where that is NaN or infinity nothing is changed, so that the
/// caller can skip the update: a clamp would hide an infinity.
double clip_gradients(TensorMap& gradients, double max_norm, double max_value = 0.0);

/// average <- decay * average + (1 - decay) * value, in place.
void ema_update(TensorMap& average, const TensorMap& value, double decay);

TensorMap cloned(const TensorMap& tensors);
TensorMap cast(const TensorMap& tensors, at::ScalarType dtype);

}  // namespace thalweg
