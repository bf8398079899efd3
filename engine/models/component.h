// One component of a model folder, from its config.json and weights to a callable.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "engine/models/binder.h"
#include "engine/weights/folder.h"

namespace thalweg {

/// Once a run: what was read, in the dtype to compute in and where the computing is done.
inline TensorMap converted(TensorMap tensors, at::ScalarType dtype, at::Device device) {
  for (auto& [name, tensor] : tensors) tensor = tensor.to(device, dtype);
  return tensors;
}

template <typename Model>
typename Model::Config parse_component(const ModelFolder& folder, const std::string& name) {
  return Model::parse(component_config(folder, name), folder.root / name / "config.json");
}

/// Binds `tensors`, cast to `dtype` and moved to `device`, which must be exactly those of the component.
template <typename Model>
Model bind_component(const ModelFolder& folder, const std::string& name, const typename Model::Config& config,
                     TensorMap tensors, at::ScalarType dtype, at::Device device) {
  const auto cast = converted(std::move(tensors), dtype, device);
  Binder binder(cast, (folder.root / name).string());
  auto model = Model::bind(config, binder);
  binder.finish();
  return model;
}

}  // namespace thalweg
