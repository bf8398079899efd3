// What the parity programs share: KIND FOLDER IN.safetensors OUT.safetensors. Each has a table of components.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/models/binder.h"
#include "engine/weights/safetensors.h"

namespace thalweg {

using Component = std::function<TensorMap(const std::filesystem::path& folder, const TensorMap& inputs)>;

inline const at::Tensor& input(const TensorMap& inputs, const std::string& name) {
  const auto it = inputs.find(name);
  if (it == inputs.end()) throw Error("", "the inputs lack the tensor \"" + name + "\"");
  return it->second;
}

/// The component of `folder`, its weights in `stem`.safetensors.
template <typename Model>
Model load(const std::filesystem::path& folder, const std::string& stem) {
  const auto config_path = folder / "config.json";
  const auto config = Model::parse(parse_json_file(config_path), config_path);
  const auto weights = read_weights(folder, stem);
  Binder binder(weights, folder.string());
  auto model = Model::bind(config, binder);
  binder.finish();
  return model;
}

using Components = std::map<std::string, Component>;

inline int run_components(const Components& components, int argc, char** argv) {
  try {
    const auto it = argc == 5 ? components.find(argv[1]) : components.end();
    if (it == components.end()) {
      std::fprintf(stderr, "parity KIND FOLDER IN.safetensors OUT.safetensors; kinds:");
      for (const auto& [name, component] : components) std::fprintf(stderr, " %s", name.c_str());
      std::fprintf(stderr, "\n");
      return 2;
    }
    c10::NoGradGuard no_grad;
    write_safetensors(argv[4], it->second(argv[2], read_safetensors(argv[3]).tensors));
    return 0;
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "parity: %s\n", e.what());
    return 1;
  }
}

}  // namespace thalweg
