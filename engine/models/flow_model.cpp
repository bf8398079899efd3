#include "engine/models/flow_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace thalweg {
namespace {

constexpr const char* kWeight = ".weight";

bool ends_with_module(const std::string& name, const std::string& suffix) {
  if (!name.ends_with(suffix)) return false;
  return name.size() == suffix.size() || name[name.size() - suffix.size() - 1] == '.';
}

// "attn.to_q" of "transformer_blocks.7.attn.to_q": what the name is in every block.
std::string name_in_block(const std::string& module) {
  for (size_t dot = module.find('.'); dot != std::string::npos; dot = module.find('.', dot + 1)) {
    const auto end = module.find_first_not_of("0123456789", dot + 1);
    if (end != std::string::npos && end > dot + 1 && module[end] == '.') return module.substr(end + 1);
  }
  return module;
}

}  // namespace

at::Tensor FlowModel::encode_frames(const at::Tensor&) const {
  throw Error("/model/path", "a model of this family cannot turn pictures into latents");
}

TensorMap FlowModel::as_saved(const TensorMap& parameters, at::ScalarType dtype) const {
  return rounded(parameters, dtype);
}

TensorMap rounded(const TensorMap& tensors, at::ScalarType dtype) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors)
    result[name] = tensor.detach().to(dtype).to(tensor.scalar_type());
  return result;
}

std::vector<std::string> linear_modules(const std::vector<ParameterSpec>& specs,
                                        const std::vector<std::string>& suffixes, const std::string& place) {
  std::vector<std::string> modules;
  std::set<std::string> matched, known;
  for (const auto& spec : specs) {
    if (spec.shape.size() != 2 || !spec.name.ends_with(kWeight)) continue;
    const auto module = spec.name.substr(0, spec.name.size() - std::char_traits<char>::length(kWeight));
    known.insert(name_in_block(module));
    const auto hit = std::find_if(suffixes.begin(), suffixes.end(),
                                  [&](const auto& suffix) { return ends_with_module(module, suffix); });
    if (hit == suffixes.end()) continue;
    modules.push_back(module);
    for (const auto& suffix : suffixes)
      if (ends_with_module(module, suffix)) matched.insert(suffix);
  }
  for (const auto& suffix : suffixes)
    if (!matched.count(suffix))
      throw Error(place, "no linear layer is named \"" + suffix + "\"" +
                             suggestion(suffix, {known.begin(), known.end()}));
  return modules;
}

std::vector<LoraLayer> lora_layers(const std::vector<ParameterSpec>& specs) {
  std::vector<LoraLayer> layers;
  for (const auto& spec : specs)
    if ((spec.shape.size() == 2 || spec.shape.size() == 4) && spec.name.ends_with(kWeight))
      layers.push_back(
          {spec.name.substr(0, spec.name.size() - std::char_traits<char>::length(kWeight)), spec.shape});
  return layers;
}

Adapter make_adapter(const std::vector<ParameterSpec>& specs, const std::vector<std::string>& modules,
                     const LoraStrength& strength, uint64_t seed) {
  Adapter adapter;
  adapter.scale = strength.alpha / static_cast<double>(strength.rank);
  std::vector<ParameterSpec> pairs;
  for (const auto& spec : specs) {
    if (!spec.name.ends_with(kWeight)) continue;
    const auto module = spec.name.substr(0, spec.name.size() - std::char_traits<char>::length(kWeight));
    if (std::find(modules.begin(), modules.end(), module) == modules.end()) continue;
    const auto rank = strength.rank_of(module);
    if (const auto scale = strength.scale_of(module); scale != adapter.scale) adapter.scales[module] = scale;
    pairs.push_back({module + ".lora_A.weight", {rank, spec.shape[1]}, Init::kaiming_uniform, spec.shape[1]});
    pairs.push_back({module + ".lora_B.weight", {spec.shape[0], rank}, Init::zeros, rank});
  }
  adapter.tensors = initial_parameters(pairs, seed);
  return adapter;
}

}  // namespace thalweg
