#include "pipelines/stages/policy.h"

#include <ATen/ATen.h>

#include "engine/core/device.h"
#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/optim/gradients.h"

namespace thalweg {

PolicySpace::PolicySpace(const FlowModel& model, const ModelSection& section, uint64_t seed,
                         ReferenceModel reference)
    : model_(model), section_(section), lora_(section.has_lora) {
  if (lora_) {
    require_lora_layers(model.lora_names());
    auto& lora = section_.lora;
    if (lora.targets.empty()) lora.targets = model.default_lora_targets();
    modules_ = linear_modules(model.specs(), lora.targets, "/model/lora/targets");
    auto adapter = make_adapter(model.specs(), modules_, lora.rank, lora.alpha, seed);
    if (!lora.path.empty()) start_from_file(adapter);
    lora_scale_ =
        lora.alpha / static_cast<double>(lora.rank);  // to the last bit what a reader of the export has
    // Drawn on the CPU, so that a start does not depend on the device.
    start_ = leaves(moved(adapter.tensors, model.device()));
    // A copy: training changes the start in place.
    if (!lora.path.empty() && reference == ReferenceModel::loaded)
      reference_ = {cast(cloned(start_), compute_dtype()), lora_scale_};
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

void PolicySpace::start_from_file(Adapter& adapter) {
  auto& lora = section_.lora;
  lora_file_ = read_model_lora(lora, model_);
  if (const auto rank = lora_file_.largest_rank(); rank > lora.rank)
    throw Error("/model/lora/rank",
                "must be at least " + std::to_string(rank) + ", the rank of " + lora.path);
  for (const auto& [name, tensor] : lora_file_.tensors) {
    const auto it = adapter.tensors.find(name);
    if (it == adapter.tensors.end())
      throw Error("/model/lora/targets", "do not cover " + name + " of " + lora.path);
    // Ranks beyond the file's, and layers that it lacks, keep a fresh lora_A and a lora_B of zero: they
    // change nothing yet, and can learn.
    const int64_t ranks = name.ends_with(".lora_A.weight") ? 0 : 1;
    it->second.slice(ranks, 0, tensor.size(ranks)).copy_(tensor);
  }
  lora.alpha = lora_file_.scale * static_cast<double>(lora.rank);
  lora_file_.tensors.clear();
}

at::ScalarType PolicySpace::compute_dtype() const {
  return model_.latent_dtype() == at::kDouble ? at::kDouble : dtype_named(section_.dtype);
}

Velocity PolicySpace::bind(const TensorMap& parameters) const {
  const auto dtype = compute_dtype();
  if (lora_) {
    const Adapter adapter{cast(parameters, dtype), lora_scale_};
    return model_.bind(model_.backbone(), &adapter);
  }
  auto whole = cast(parameters, dtype);
  whole.insert(fixed_.begin(), fixed_.end());
  return model_.bind(whole, nullptr);
}

Velocity PolicySpace::reference() const {
  return model_.bind(model_.backbone(), reference_.tensors.empty() ? nullptr : &reference_);
}

TensorMap PolicySpace::exported(const TensorMap& parameters, at::ScalarType dtype) const {
  return lora_ ? rounded(parameters, dtype) : model_.as_saved(parameters, dtype);
}

}  // namespace thalweg
