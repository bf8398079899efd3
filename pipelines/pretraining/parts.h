// What the blueprints share: components' configs, files, and weights by their component's name.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "engine/core/json.h"
#include "engine/core/values.h"
#include "engine/models/component.h"

namespace thalweg {

/// The component's config; throws Error at /architecture/NAME where there is none.
const Json& architecture_part(const Json& architecture, const std::string& name);

/// `config` with "_class_name", or another key, in front of it.
void write_config(const std::filesystem::path& folder, const std::string& class_key, const Json& class_value,
                  const Json& config, const char* file = "config.json");

/// model_index.json: `parts` beside the pipeline's class.
void write_model_index(const std::filesystem::path& folder, const std::string& pipeline, const Json& parts);

TensorMap with_prefix(const TensorMap& tensors, const std::string& prefix);
/// Those that have it, without it.
TensorMap without_prefix(const TensorMap& tensors, const std::string& prefix);

/// Samples to the flow's latents by the trained VAE of the model in `folder`, in `dtype`. `seen`: samples
/// [B,F,3,H,W] as this VAE takes them.
template <typename Vae>
std::function<at::Tensor(const at::Tensor&)> trained_encoder(const std::filesystem::path& folder,
                                                             at::ScalarType dtype,
                                                             at::Tensor (*seen)(const at::Tensor&)) {
  const auto model = open_model_folder(folder);
  auto vae = bind_component<Vae>(model, "vae", parse_component<Vae>(model, "vae"),
                                 component_weights(model, "vae"), dtype, at::kCPU);
  return [vae = std::move(vae), dtype, seen](const at::Tensor& x_BF3HW) {
    return vae.scaled(vae.encode_moments(seen(x_BF3HW).to(dtype)).chunk(2, 1)[0].to(at::kFloat));
  };
}

void write_files(const std::filesystem::path& folder, const std::map<std::string, std::string>& files);

/// One file of weights, diffusion_pytorch_model or model, in a component's folder.
void write_component(const std::filesystem::path& folder, const std::string& stem, const TensorMap& tensors);

}  // namespace thalweg
