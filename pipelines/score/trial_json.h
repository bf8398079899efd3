// What a trial of rewards found, for programs.
#pragma once

#include "engine/core/json.h"
#include "pipelines/score/trial.h"

namespace thalweg {

/// `pictures`: name, prompt, values by dimension (null: not scored, and `not_scored` says why); `calls`:
/// times; `gradients`.
Json trial_json(const std::vector<PictureFile>& files, const PromptList& prompts, const TriedRewards& tried);

/// What a reward says of itself once it is ready.
Json reward_json(const RewardInfo& info);

}  // namespace thalweg
