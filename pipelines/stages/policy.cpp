#include "pipelines/stages/policy.h"

#include <ATen/ATen.h>

#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/optim/gradients.h"

namespace thalweg {

PolicySpace::PolicySpace(const FlowModel& model, const ModelSection& section, uint64_t seed)
    : model_(model), section_(section), lora_(section.has_lora) {
  if (lora_) {
    auto& lora = section_.lora;
    if (lora.targets.empty()) lora.targets = model.default_lora_targets();
    modules_ = linear_modules(model.specs(), lora.targets, "/model/lora/targets");
    auto adapter = make_adapter(model.specs(), modules_, lora.rank, lora.alpha, seed);
    if (!lora.path.empty()) {
      const auto read = read_model_lora(lora);
      for (const auto& [name, tensor] : read.tensors)
        if (!adapter.tensors.count(name))
          throw Error("/model/lora/targets", "do not cover " + name + " of " + lora.path);
      for (auto& [name, tensor] : adapter.tensors) {
        const auto it = read.tensors.find(name);
        if (it == read.tensors.end() || it->second.sizes() != tensor.sizes())
          throw Error("/model/lora",
                      lora.path + " has no " + name + " of this rank: rank and targets must be the file's");
        tensor = it->second.to(at::kFloat).clone();
      }
      adapter.scale = read.scale;
      lora.alpha = read.scale * static_cast<double>(lora.rank);
    }
    lora_scale_ = adapter.scale;
    start_ = leaves(adapter.tensors);
    return;
  }
  auto masters = model.master_backbone();
  for (const auto& spec : model.specs()) {
    if (spec.init != Init::fixed) continue;
    fixed_[spec.name] = model.backbone().at(spec.name);
    masters.erase(spec.name);
  }
  start_ = leaves(masters);
}

Velocity PolicySpace::bind(const TensorMap& parameters) const {
  const auto dtype = dtype_named(section_.dtype);
  if (lora_) {
    const Adapter adapter{cast(parameters, dtype), lora_scale_};
    return model_.bind(model_.backbone(), &adapter);
  }
  auto whole = cast(parameters, dtype);
  whole.insert(fixed_.begin(), fixed_.end());
  return model_.bind(whole, nullptr);
}

Velocity PolicySpace::reference() const {
  return model_.bind(model_.backbone(), nullptr);
}

TensorMap PolicySpace::backbone_with(const TensorMap& parameters) const {
  TensorMap whole = parameters;
  whole.insert(fixed_.begin(), fixed_.end());
  return whole;
}

}  // namespace thalweg
