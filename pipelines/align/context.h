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
#include "pipelines/stages/event.h"
#include "pipelines/stages/lanes.h"
#include "pipelines/stages/policy.h"

namespace thalweg {

/// Named numbers of one iteration, in the order in which they are reported.
using Metrics = std::vector<std::pair<std::string, double>>;

/// Every prompt of the run, encoded before it starts.
struct AlignPrompts {
  PromptSet train, select, evaluation;
  Conditioning unconditional;
};

struct AlignContext {
  AlignContext(const AlignOptions& options, const Observer& observer);

  const AlignOptions& options;
  const Observer& observer;
  at::Device device;
  Workers workers;
  std::unique_ptr<FlowModel> model;
  LatentShape shape;
  AlignPrompts prompts;  // before the policy: the text encoders are gone when it is made
  PolicySpace space;
  std::unique_ptr<RewardSet> rewards;
  Schedule schedule;
  PhaseClock clock;             // of rollouts and updates
  PhaseClock evaluation_clock;  // of held-out evaluations
  Events events;                // of this iteration; events.jsonl takes them

  TensorMap policy;   // float32 leaves
  TensorMap average;  // EMA of the policy; empty without one
  AdamW optimizer;
  int64_t optimizer_steps = 0;

  uint64_t seed() const { return static_cast<uint64_t>(options.seed); }
  /// The policy's parameters that are evaluated and saved.
  const TensorMap& evaluated() const { return average.empty() ? policy : average; }
  Velocity guided(const Velocity& velocity) const;

 private:
  /// Says what of the LoRA's file was left out.
  void note_lora();
};

/// The groups of one rollout and how its updates share them.
struct GroupPlan {
  int64_t groups = 0, group_size = 0, updates = 1;

  /// First group of update `update`; begin(updates) is the number of groups.
  int64_t begin(int64_t update) const { return groups * update / updates; }
};

/// `plan.groups` prompts of this iteration, `plan.group_size` samples each, drawn with `velocity` (guided) by
/// `sampler`, decoded and scored. No micro-batch belongs to two updates, so numbers do not depend on the
/// micro-batch.
std::vector<MicroBatch> draw_groups(AlignContext& context, int64_t iteration, const GroupPlan& plan,
                                    const Velocity& velocity,
                                    const std::function<Trajectory(const SamplerInput&)>& sampler);

/// Rewards to advantages, with the metrics that the field reports for them.
GroupAdvantages score_groups(AlignContext& context, const std::vector<MicroBatch>& batches, bool global_std,
                             double adv_clip_max, Metrics& metrics);

/// Says which rewards failed in a rollout or evaluation (`phase`), if any did: a message, and an event.
void note_failures(AlignContext& context, const std::string& phase, const RewardBatch& raw,
                   const at::Tensor& valid_B);

/// Throws Error at /method/updates when an update would have no group.
void require_updates(int64_t updates, int64_t groups);

/// A micro-batch in an update: its advantages, which samples count, and how many count in the whole update.
struct TrainingShare {
  const MicroBatch& batch;
  at::Tensor advantage_B;  // float64
  at::Tensor used_B;       // bool
  double used = 0.0;
};

/// The micro-batches of update `update`; empty when no sample of it counts.
std::vector<TrainingShare> training_shares(const std::vector<MicroBatch>& batches,
                                           const GroupAdvantages& advantages, const GroupPlan& plan,
                                           int64_t update);

/// What the training steps of one micro-batch measure: a row of numbers a step. They stay where they were
/// computed until read(), so that no step waits for its device.
class StepRecord {
 public:
  /// Tensors without dimensions, all of one dtype, in the same order for every step.
  void add(const std::vector<at::Tensor>& numbers);
  /// The rows of all steps, exact.
  std::vector<std::vector<double>> read() const;

 private:
  std::vector<at::Tensor> rows_;
};

/// Gradient of update `update` over its micro-batches; none when no sample of it counts. `gradient_of` runs
/// on the workers and fills a StepRecord. The records are read once, at the end, and summed step by step
/// (Statistics::add_step) and micro-batch by micro-batch (Statistics::add) in order, so that sums do not
/// depend on which worker came first.
template <typename Statistics, typename GradientOf>
TensorMap update_gradients(AlignContext& context, const std::vector<MicroBatch>& batches,
                           const GroupAdvantages& advantages, const GroupPlan& plan, int64_t update,
                           Statistics& total, const GradientOf& gradient_of) {
  const auto shares = training_shares(batches, advantages, plan, update);
  std::vector<StepRecord> records(shares.size());
  auto gradients = lane_gradients(context.workers, context.options.parallel.lanes,
                                  static_cast<int64_t>(shares.size()), [&](int64_t k) {
                                    // Nothing has changed yet: the iteration can be given up.
                                    if (update == 0 && context.observer.stop_requested()) throw Stopped{};
                                    PhaseClock::Scope scope(context.clock, "train");
                                    const auto i = static_cast<size_t>(k);
                                    return gradient_of(shares[i], records[i]);
                                  });
  for (const auto& record : records) {
    Statistics part;
    for (const auto& row : record.read()) part.add_step(row);
    total.add(part);
  }
  return gradients;
}

/// Clips, steps the optimizer and the average; a gradient that is not finite is skipped. Adds grad_norm and
/// skipped_updates.
void apply_gradients(AlignContext& context, TensorMap gradients, int64_t iteration, Metrics& metrics);

/// Latents with the rows of masked samples set to 0: whatever they hold, no NaN of theirs reaches a gradient.
at::Tensor used_rows(const at::Tensor& latents_BCFHW, const at::Tensor& used_B);

/// Adds `value` to the metric of that name, making it if it is new.
void add_metric(Metrics& metrics, const std::string& name, double value);
/// The largest of several values; NaN is kept.
void largest_metric(Metrics& metrics, const std::string& name, double value);

struct PhaseTiming {
  std::string phase;
  double wall = 0.0, cpu = 0.0;  // seconds; the wall time of work on several workers is their mean
};

/// rollout, decode, reward, monitor, train, optimizer and evaluation, each where it took place.
std::vector<PhaseTiming> phase_timings(const AlignContext& context);

/// What `phase_timings` grew by between two calls; the first may lack phases.
std::vector<PhaseTiming> difference(const std::vector<PhaseTiming>& before,
                                    const std::vector<PhaseTiming>& after);

/// Steps of a window that are trained: all but the schedule's last, whose noise is almost none.
std::vector<int64_t> trained_steps(StepWindow window, int64_t steps);

}  // namespace thalweg
