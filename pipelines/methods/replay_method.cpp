#include "pipelines/methods/replay_method.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/advantages/ranking.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/losses/grpo.h"
#include "pipelines/training/selection.h"

namespace thalweg {

ReplayRun::ReplayRun(std::unique_ptr<Method> method, Training& training)
    : method_(std::move(method)),
      replaying_(dynamic_cast<const ReplayMethod&>(*method_)),
      o_(replaying_.options()),
      t_(training),
      aggregator_(o_.advantages.start(training)),
      reference_(o_.reference, o_.replay.kl_beta, training) {}

Metrics ReplayRun::iterate(int64_t iteration) {
  Metrics metrics;
  reference_.begin(metrics);
  const int64_t steps = t_.options.sampler.steps;
  auto window = step_window(t_.options.sampler, t_.seed(), iteration);
  if (o_.clean_end) window.end = std::min(window.end, steps - 1);
  auto transitions =
      drawn(iteration, window,
            some_steps(trained_steps(window, steps), o_.step_fraction, t_.seed(), iteration), metrics);
  if (reference_.in_reward()) reference_.add_reward(transitions, o_.replay.kl_scale, metrics);
  auto advantages = aggregator_->advantages(transitions.scores, metrics);
  keep_some(transitions, advantages);
  train_on_transitions(t_, transitions, o_.groups, advantages, *aggregator_, replay(), iteration, metrics);
  reference_.end(metrics);
  return metrics;
}

void ReplayRun::state(RunState& state) {
  aggregator_->state(state);
  reference_.state(state);
}

Transitions ReplayRun::drawn(int64_t iteration, StepWindow window, const std::vector<int64_t>& trained,
                             Metrics& metrics) {
  return draw_transitions(t_, iteration, o_.groups, window, trained, metrics);
}

void ReplayRun::keep_some(Transitions& drawn, Advantages& advantages) const {
  if (o_.keep == 0) return;
  auto rows = best_and_worst(advantages, drawn.scores.group_B, o_.keep);
  if (rows.empty()) return;  // nothing counts, whoever is kept
  advantages = selected(advantages, rows);
  drawn.batches =
      selected(drawn.batches, std::move(rows), o_.groups, t_.options.parallel.micro_batch).batches;
}

Replay ReplayRun::replay() const {
  Replay replay{.options = o_.replay,
                .log_prob = log_prob_of(t_.options.sampler),
                .loss = [this](const Replayed& r, const Share&) { return loss(r); }};
  replay.options.kl_beta = reference_.in_reward() ? 0.0 : reference_.beta();
  if (replay.options.kl_beta > 0.0) replay.reference = reference_.velocity();
  return replay;
}

void ReplayMethod::describe(Fields& f) {
  thalweg::describe(f, o_.groups);
  thalweg::describe(f, o_.advantages);
  thalweg::describe(f, o_.replay);
  thalweg::describe(f, o_.reference);
  f.integer({"keep",
             "samples of a group that are trained, half of them the best by advantage and half the worst "
             "(DanceGRPO's best-of-n); 0: all"},
            o_.keep, 0, 4096);
}

void ReplayMethod::check(const TrainingOptions& options) const {
  check_groups(o_.groups);
  check_replay(options.sampler, name_);
  check_reference(o_.reference, o_.replay.kl_beta);
  if (o_.keep % 2 != 0 || o_.keep > o_.groups.group_size)
    throw Error("/method/keep", "must be even, half best and half worst, and at most /method/group_size, " +
                                    std::to_string(o_.groups.group_size));
}

std::unique_ptr<MethodRun> ReplayMethod::start(Training& training) const {
  return std::make_unique<ReplayRun>(clone(), training);
}

void ReplayMethod::describe_step_fraction(Fields& f) {
  f.number(
      {"step_fraction", "of the steps with noise but the last, drawn anew each iteration, that are trained"},
      o_.step_fraction, 0.01, 1.0);
}

void WindowReplay::check(const TrainingOptions& options) const {
  ClippedReplay::check(options);
  const auto& s = options.sampler;
  if (s.window_size == 0 || s.window_size >= s.steps - 1)
    throw Error("/sampler/window/size",
                std::string(name_) +
                    " trains a window of the steps and leaves the others to the ODE; give it "
                    "a size below " +
                    std::to_string(s.steps - 1) + " (the papers: 2 to 4)");
}

void ClippedReplay::describe(Fields& f) {
  ReplayMethod::describe(f);
  f.number({"clip_range", "PPO clip of the ratio; small because log-probs are means over latent elements"},
           clip_range_, 1e-9, 10.0);
}

StepLoss ClippedReplay::loss(const Replayed& r) const {
  StepLoss loss{.policy_B = [clip = clip_range_, log_prob_B = r.log_prob_B,
                             old_B = r.old_log_prob_B](const at::Tensor& advantage_B) {
    return grpo_loss(log_prob_B, old_B, advantage_B.to(log_prob_B.scalar_type()), clip).loss_B;
  }};
  add_ratio_measures(loss, r, ratio(r.log_prob_B, r.old_log_prob_B).detach(), clip_range_);
  return loss;
}

std::vector<int64_t> best_and_worst(const Advantages& advantages, const std::vector<int64_t>& group_B,
                                    int64_t keep) {
  auto sum_B = at::zeros({static_cast<int64_t>(group_B.size())}, at::kDouble);
  for (const auto& head : advantages.heads) sum_B += head.values_B;
  std::vector<int64_t> rows;
  for (const auto& [group, members] : ranked_groups(sum_B, advantages.used_B, group_B)) {
    const auto kept = extremes(members, keep);
    rows.insert(rows.end(), kept.begin(), kept.end());
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<int64_t> some_steps(std::vector<int64_t> steps, double fraction, uint64_t seed,
                                int64_t iteration) {
  constexpr double kRounding = 1e-9;  // 0.6 * 15 is 9
  const auto count = static_cast<size_t>(
      std::max(1.0, std::floor(fraction * static_cast<double>(steps.size()) + kRounding)));
  if (count >= steps.size()) return steps;
  // Slot 0 is the window's.
  std::stable_sort(steps.begin(), steps.end(), [&](int64_t a, int64_t b) {
    const auto key = [&](int64_t step) {
      return random_bits(seed, Purpose::window, static_cast<uint64_t>(step) + 1,
                         static_cast<uint64_t>(iteration));
    };
    return key(a) < key(b);
  });
  steps.resize(count);
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace thalweg
