// The exact process reward of the laboratory states the law that it is of; the job says the model.
#pragma once

#include <string>
#include <vector>

#include "rewards/reward_spec.h"

namespace thalweg {

/// Throws Error at the config of a reward "kind": "soft_linear" (plugins/analytic) whose mixture is none of
/// the model's: log h of another law leads nowhere that is known.
void check_soft_values(const std::vector<RewardSpec>& rewards, const std::string& model_path);

}  // namespace thalweg
