// An evaluation of which a part may have been drawn before.
#pragma once

#include "pipelines/sampling/store.h"
#include "pipelines/stages/evaluation.h"

namespace thalweg {

/// evaluate() of the evaluation number `index`, but for what the store has of it. Sample i has the key
/// index * prompts + i there. Throws Stopped, with what was drawn in the store.
Evaluation evaluated(const EvaluationInput& input, const Velocity& velocity, int64_t index,
                     DrawnStore& store);

}  // namespace thalweg
