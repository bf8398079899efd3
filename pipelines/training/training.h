// What a training run computes with. Whatever method, whatever kind of job: nothing here knows either.
#pragma once

#include <functional>
#include <memory>

#include "engine/parallel/workers.h"
#include "pipelines/observer.h"
#include "pipelines/stages/event.h"
#include "pipelines/stages/phase_clock.h"
#include "pipelines/stages/prompt_set.h"
#include "pipelines/training/picture_set.h"
#include "pipelines/training/roles.h"
#include "rewards/reward_set.h"

namespace thalweg {

/// What a run loads before it starts.
struct TrainingParts {
  std::unique_ptr<FlowModel> model;
  PromptSet prompts;                                    // of the rollouts, encoded
  Conditioning unconditional;                           // the negative prompt's, or the empty one's
  std::function<std::unique_ptr<RewardSet>()> rewards;  // activated last: after the LoRA was checked
  PictureSet pictures = {};                             // of the prompts, for methods that draw no samples
  TensorMap teacher = {};                               // backbone of the method's own teacher; empty: none
};

class Training {
 public:
  /// `options`, `observer` and `workers` must outlive it. Throws Error at /model/lora or /sampler for what
  /// does not fit the model.
  Training(const TrainingOptions& options, const Observer& observer, Workers& workers, TrainingParts parts);

  const TrainingOptions& options;
  const Observer& observer;
  Workers& workers;
  const std::unique_ptr<FlowModel> model;
  const PromptSet prompts;
  const PictureSet pictures;
  const TensorMap teacher;           // as in the parts
  const Conditioning unconditional;  // on the device
  const LatentShape shape;
  const Schedule schedule;  // of the rollouts
  const PolicySpace space;
  const std::unique_ptr<RewardSet> rewards;

  Roles roles;
  Role& policy;      // one of them: what is aligned
  PhaseClock clock;  // of rollouts and updates
  Events events;     // of this iteration

  at::Device device() const { return model->device(); }
  uint64_t seed() const { return static_cast<uint64_t>(options.seed); }
  /// With the classifier-free guidance of the rollouts.
  Velocity guided(const Velocity& velocity) const;
};

}  // namespace thalweg
