#include "pipelines/stages/policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string_view>

#include "engine/core/device.h"
#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/optim/gradients.h"

namespace thalweg {
namespace {
constexpr std::string_view kDown = ".lora_A.weight", kUp = ".lora_B.weight";
}  // namespace

PolicySpace::PolicySpace(const FlowModel& model, const ModelSection& section, uint64_t seed,
                         ReferenceModel reference, bool on_host)
    : model_(model), section_(section), lora_(section.has_lora) {
  if (lora_) {
    require_lora_layers(model.lora_names());
    auto& lora = section_.lora;
    if (lora.targets.empty()) lora.targets = model.default_lora_targets();
    modules_ = linear_modules(model.specs(), lora.targets, "/model/lora/targets");
    strength_ = lora.strength(modules_);
    if (!lora.path.empty()) read_start();
    auto adapter = make_adapter(model.specs(), modules_, strength_, seed);
    if (!lora.path.empty()) start_from_file(adapter);
    scales_ = {{}, adapter.scale, adapter.scales};  // to the last bit what a reader of the export has
    // Drawn on the CPU, so that a start does not depend on the device.
    start_ = leaves(moved(adapter.tensors, on_host ? at::Device(at::kCPU) : model.device()));
    // A copy: training changes the start in place.
    if (!lora.path.empty() && reference == ReferenceModel::loaded) reference_ = adapter_of(cloned(start_));
    return;
  }
  auto masters = model.master_backbone();
  for (const auto& spec : model.specs()) {
    if (spec.init != Init::fixed) continue;
    fixed_[spec.name] = model.backbone().at(spec.name);
    masters.erase(spec.name);
  }
  start_ = leaves(on_host ? moved(masters, at::kCPU) : masters);
}

// The file's scale replaces alpha: each layer keeps its own, and those that the file lacks get the commonest.
void PolicySpace::read_start() {
  auto& lora = section_.lora;
  lora_file_ = read_model_lora(lora, model_);
  std::string narrow;
  int64_t rank = 0;
  for (const auto& [name, tensor] : lora_file_.tensors) {
    if (!name.ends_with(kDown)) continue;
    const auto layer = name.substr(0, name.size() - kDown.size());
    if (std::find(modules_.begin(), modules_.end(), layer) == modules_.end())
      throw Error("/model/lora/targets", "do not cover " + layer + " of " + lora.path);
    if (tensor.size(0) > std::max(rank, strength_.rank_of(layer))) narrow = layer, rank = tensor.size(0);
  }
  if (!narrow.empty())
    throw Error(lora.rank_pattern.empty() ? "/model/lora/rank" : "/model/lora/rank_pattern",
                "must be at least " + std::to_string(rank) + ", the rank of " + lora.path + ", in " + narrow);
  lora.alpha = strength_.alpha = lora_file_.scale * static_cast<double>(lora.rank);
  for (const auto& layer : modules_) {
    const double alpha = lora_file_.scale_of(layer) * static_cast<double>(strength_.rank_of(layer));
    if (alpha != strength_.alpha) strength_.alphas[layer] = alpha;
  }
}

// Ranks beyond the file's, and layers that it lacks, keep a fresh lora_A and a lora_B of zero: they change
// nothing yet, and can learn.
void PolicySpace::start_from_file(Adapter& adapter) {
  for (const auto& [name, tensor] : lora_file_.tensors) {
    const int64_t ranks = name.ends_with(kDown) ? 0 : 1;
    adapter.tensors.at(name).slice(ranks, 0, tensor.size(ranks)).copy_(tensor);
  }
  lora_file_.tensors.clear();
}

TensorMap PolicySpace::without_lora() const {
  auto none = cloned(start_);
  for (auto& [name, tensor] : none)
    if (name.ends_with(kUp)) tensor.zero_();
  return none;
}

TensorMap PolicySpace::at_work(const TensorMap& parameters) const {
  TensorMap copies;
  for (const auto& [name, tensor] : parameters) copies[name] = tensor.to(model_.device(), compute_dtype());
  return copies;
}

Adapter PolicySpace::adapter_of(const TensorMap& parameters) const {
  return {at_work(parameters), scales_.scale, scales_.scales};
}

at::ScalarType PolicySpace::compute_dtype() const {
  return model_.latent_dtype() == at::kDouble ? at::kDouble : dtype_named(section_.dtype);
}

Velocity PolicySpace::bind(const TensorMap& parameters) const {
  if (lora_) {
    const auto adapter = adapter_of(parameters);
    return model_.bind(model_.backbone(), &adapter);
  }
  auto whole = at_work(parameters);
  whole.insert(fixed_.begin(), fixed_.end());
  return model_.bind(whole, nullptr);
}

Velocity PolicySpace::reference() const {
  return model_.bind(model_.backbone(), reference_.tensors.empty() ? nullptr : &reference_);
}

Velocity PolicySpace::bind(const TensorMap& parameters, const LoraBlock& block) const {
  const auto strength = strength_of(strength_, block);
  Adapter adapter{at_work(block_of(parameters, block)), strength.alpha / static_cast<double>(strength.rank)};
  for (const auto& layer : modules_)
    if (const auto scale = strength.scale_of(layer); scale != adapter.scale) adapter.scales[layer] = scale;
  return model_.bind(model_.backbone(), &adapter);
}

Velocity PolicySpace::reference(const LoraBlock& block) const {
  return reference_.tensors.empty() ? reference() : bind(reference_.tensors, block);
}

TensorMap PolicySpace::exported(const TensorMap& parameters, at::ScalarType dtype) const {
  return lora_ ? rounded(parameters, dtype) : model_.as_saved(parameters, dtype);
}

}  // namespace thalweg
