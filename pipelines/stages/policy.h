// Roles over one backbone. The policy's parameters are a LoRA pair a layer, or the whole backbone in float32
// (float64 of an analytic model); each role (policy, old, average, reference) is a binding of named tensors.
#pragma once

#include "engine/models/flow_model.h"
#include "pipelines/sections.h"
#include "pipelines/stages/lora_block.h"

namespace thalweg {

/// What a trained policy is held against: the model as the job loads it, the LoRA that it starts from
/// included, or that model without the LoRA.
enum class ReferenceModel { loaded, base };

class PolicySpace {
 public:
  /// Throws Error at /model/lora/... for targets that match nothing or a file that does not fit.
  /// With `on_host` roles are kept on the CPU, and bindings compute with copies on the model's device.
  PolicySpace(const FlowModel& model, const ModelSection& section, uint64_t seed,
              ReferenceModel reference = ReferenceModel::loaded, bool on_host = false);

  /// Where training starts: float32 leaves that require gradients.
  const TensorMap& start() const { return start_; }
  /// Where a role starts that is the backbone of a LoRA: the start, with each lora_B 0.
  TensorMap without_lora() const;
  /// A role with these parameters; gradients flow into those that require them.
  Velocity bind(const TensorMap& parameters) const;
  /// What gains, KL terms and alarms are measured against; it never changes.
  Velocity reference() const;
  /// Of a LoRA: the role that has that block of these parameters alone, and what it is held against.
  Velocity bind(const TensorMap& parameters, const LoraBlock& block) const;
  Velocity reference(const LoraBlock& block) const;

  bool is_lora() const { return lora_; }
  const LoraSection& lora() const { return section_.lora; }
  /// Ranks and alphas of the adapted layers, of the file that training starts from where there is one.
  const LoraStrength& strength() const { return strength_; }
  const std::vector<std::string>& modules() const { return modules_; }
  /// The file that training starts from, without its tensors; empty without one.
  const LoraFile& lora_file() const { return lora_file_; }
  const FlowModel& model() const { return model_; }
  /// Parameters as whoever reads their exported file gets them: rounded to `dtype`.
  TensorMap exported(const TensorMap& parameters, at::ScalarType dtype) const;

 private:
  void read_start();
  void start_from_file(Adapter& adapter);
  /// Where the model computes, in compute dtype; gradients flow back to the parameters.
  TensorMap at_work(const TensorMap& parameters) const;
  Adapter adapter_of(const TensorMap& parameters) const;
  at::ScalarType compute_dtype() const;

  const FlowModel& model_;
  ModelSection section_;
  bool lora_;
  LoraStrength strength_;
  Adapter scales_;  // without tensors
  LoraFile lora_file_;
  std::vector<std::string> modules_;  // adapted layers
  TensorMap start_;
  TensorMap fixed_;    // tensors that are never trained, in compute dtype
  Adapter reference_;  // of the reference, in compute dtype; empty: the backbone alone
};

}  // namespace thalweg
