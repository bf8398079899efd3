// What a `train_reward` job computes with: a model that draws samples, and rewards that say what they came
// to.
#pragma once

#include <functional>
#include <memory>

#include "pipelines/stages/reward_lines.h"
#include "pipelines/stages/rollout.h"
#include "pipelines/train_reward/options.h"
#include "pipelines/training/timings.h"

namespace thalweg {

/// Finished samples in groups of one prompt, and their outcome. All on the CPU.
struct Outcomes {
  at::Tensor x0_NCFHW;  // float32; 0 where it was not finite
  at::Tensor reward_N;  // combined, float64; NaN: not scored
  std::vector<int64_t> prompt_N;
  at::Tensor state_NCFHW, sigma_N;  // a state on the way there; undefined where none was asked for
};

class RewardTraining {
 public:
  /// Loads the model, encodes all prompts, activates the rewards. Both arguments must outlive it. Throws
  /// Error at what cannot be used.
  RewardTraining(const TrainRewardOptions& options, const Observer& observer);

  const TrainRewardOptions& options;
  const Observer& observer;
  const std::unique_ptr<RewardLines> lines;
  const std::unique_ptr<Workers> workers;
  const std::unique_ptr<FlowModel> model;
  PromptSet prompts, select, evaluation;
  Conditioning unconditional;  // on the device
  const LatentShape shape;
  const Schedule schedule;
  const std::unique_ptr<RewardSet> rewards;
  const Velocity velocity;  // guided
  PhaseClock clock;
  Events events;

  at::Device device() const { return model->device(); }
  uint64_t seed() const { return static_cast<uint64_t>(options.seed); }

  /// The step whose state is kept of the sample of that slot; below 0: none.
  using StepOf = std::function<int64_t(int64_t slot)>;
  /// `groups` prompts of this iteration, `group_size` samples each. Throws Error when none was scored.
  Outcomes draw(int64_t iteration, int64_t groups, int64_t group_size, const StepOf& kept_step);
  /// Of every one of `select` or `evaluation`, the same each time.
  Outcomes held_out(const PromptSet& prompts, int64_t group_size, const StepOf& kept_step);
  /// Rows of `set`, on the device.
  Conditioning conditioning_of(const PromptSet& set, const std::vector<int64_t>& rows) const;

  std::vector<PhaseTiming> timings() const { return phase_timings(clock, workers->count()); }
  std::vector<Event> take_events();

 private:
  Outcomes draw(const PromptSet& prompts, std::vector<SampleRow> rows, Purpose noise, ScoreOccasion occasion,
                const StepOf& kept_step);
};

}  // namespace thalweg
