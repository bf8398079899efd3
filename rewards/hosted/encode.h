// What crosses to a process that scores, as JSON; tensors by where they lie in the shared memory, dense
// float32. plugins/python/README.md says what each side writes.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "rewards/activation.h"
#include "rewards/hosted/wire.h"
#include "rewards/reward.h"

namespace thalweg {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Tensors one after the other in memory. First all places are taken, then the memory grows, then they are
/// filled.
class Layout {
 public:
  /// Of a tensor of that shape: {"offset", "shape"}.
  Json place(at::IntArrayRef shape);
  /// By name.
  Json place(const NamedTensors& tensors);
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

/// The tensor at a place, not copied. Throws WireBroken where it does not lie in the memory.
at::Tensor tensor_at(const SharedMemory& memory, const Json& place);

/// `input` without its tensors.
Json to_json(const ScoreInput& input);
/// Those of its tensors that the reward takes; undefined ones are left out.
NamedTensors tensors_of(const ScoreInput& input, const RewardInfo& info);
/// The whole, its tensors not copied. Throws WireBroken.
ScoreInput input_from(const Json& input, const Json& tensors, const SharedMemory& memory);

Json to_json(const RewardInfo& info);
/// Throws WireBroken.
RewardInfo info_from(const Json& info);
Json to_json(const std::vector<CallFailure>& failures);
/// Throws WireBroken.
std::vector<CallFailure> failures_from(const Json& failures);
Json to_json(const Activation& activation);
Activation activation_from(const Json& activation);

}  // namespace thalweg
