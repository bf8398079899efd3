// Values that a plugin is to write: how it finds them, and what is wrong with what it left.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rewards/reward.h"

namespace thalweg {

/// Float32 on the CPU, NaN throughout, of a kind that tells whether it was written over.
at::Tensor unwritten(at::IntArrayRef shape);

/// What is wrong with column k, `name`, of values [B,K], float32 and dense, as the plugin left them: one
/// entry a reason. `notes`: why samples are not scored, where the plugin says so.
void find_failures(const at::Tensor& values_BK, int64_t k, const std::string& name,
                   const std::map<uint32_t, std::string>& notes, std::vector<CallFailure>& failures);

}  // namespace thalweg
