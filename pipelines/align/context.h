// What the methods of the `align` job share: the model and its roles, prompts, rewards, workers, the
// optimizer, and the stages that every method walks in the same way.
#pragma once

#include <optional>

#include "engine/advantages/group.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "pipelines/align/options.h"
#include "pipelines/observer.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/lanes.h"
#include "pipelines/stages/policy.h"

namespace thalweg {

/// Named numbers of one iteration, in the order in which they are reported.
using Metrics = std::vector<std::pair<std::string, double>>;

struct AlignContext {
  AlignContext(const AlignOptions& options, const Observer& observer);

  const AlignOptions& options;
  const Observer& observer;
  Workers workers;
  std::unique_ptr<FlowModel> model;
  LatentShape shape;
  PolicySpace space;
  PromptSet train;
  Conditioning unconditional;
  std::unique_ptr<RewardSet> rewards;
  Schedule schedule;
  PhaseClock clock;             // of rollouts and updates
  PhaseClock evaluation_clock;  // of held-out evaluations

  TensorMap policy;   // float32 leaves
  TensorMap average;  // EMA of the policy; empty without one
  AdamW optimizer;
  int64_t optimizer_steps = 0;

  uint64_t seed() const { return static_cast<uint64_t>(options.seed); }
  /// The policy's parameters that are evaluated and saved.
  const TensorMap& evaluated() const { return average.empty() ? policy : average; }
  Velocity guided(const Velocity& velocity) const;
};

/// `groups` prompts of this iteration, `group_size` samples each, drawn with `velocity` (guided) by
/// `sampler`, decoded and scored.
std::vector<MicroBatch> draw_groups(AlignContext& context, int64_t iteration, int64_t groups,
                                    int64_t group_size, const Velocity& velocity,
                                    const std::function<Trajectory(const SamplerInput&)>& sampler);

/// Rewards to advantages, with the metrics that the field reports for them.
GroupAdvantages score_groups(AlignContext& context, const std::vector<MicroBatch>& batches, bool global_std,
                             double adv_clip_max, Metrics& metrics);

/// The share [begin, end) of `count` micro-batches that belongs to update `update` of `updates`.
std::pair<size_t, size_t> update_share(size_t count, int64_t update, int64_t updates);

/// Rows of the micro-batch at `index` in the whole batch: its first row.
std::vector<int64_t> first_rows(const std::vector<MicroBatch>& batches);

/// Clips, steps the optimizer and the average; a gradient that is not finite is skipped. Adds grad_norm and
/// skipped_updates.
void apply_gradients(AlignContext& context, TensorMap gradients, int64_t iteration, Metrics& metrics);

/// Latents with the rows of masked samples set to 0: whatever they hold, no NaN of theirs reaches a gradient.
at::Tensor used_rows(const at::Tensor& latents_BCFHW, const at::Tensor& used_B);

/// Adds `value` to the metric of that name, making it if it is new.
void add_metric(Metrics& metrics, const std::string& name, double value);

struct PhaseTiming {
  std::string phase;
  double wall = 0.0, cpu = 0.0;  // seconds; the wall time of work on several workers is their mean
};

/// rollout, decode, reward, train, optimizer and evaluation, each where it took place.
std::vector<PhaseTiming> phase_timings(const AlignContext& context);

/// Steps of a window that are trained: all but the schedule's last, whose noise is almost none.
std::vector<int64_t> trained_steps(StepWindow window, int64_t steps);

}  // namespace thalweg
