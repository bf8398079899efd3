// Guidance distilled into the network (after Euphonium, arXiv 2602.04928, whose authors' code has no such
// loss). A guidance term c g in the drift of a step of noise sigma moves the mean as a change of the velocity
// does, delta v = -c g / (1 + sigma^2 (1-t) / (2t)); with the exact c = t/(1-t) + sigma^2/2 that is
// -(t/(1-t)) g for every sigma. At the states x_t of guided rollouts
//   L = E |v_theta(x_t, t) - sg[v_old + delta v]|^2,
// v_old the run's reference. Guided samples then come without a reward being asked. v_old stays what it is: a
// policy that followed itself would be led there again and again.
#include <ATen/ATen.h>

#include <map>
#include <mutex>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/distilled.h"
#include "pipelines/methods/led_rollout.h"
#include "pipelines/methods/method.h"
#include "pipelines/methods/step_loss.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{.groups = 64, .group_size = 1, .updates = 2};
  int64_t passes = 1;
  std::vector<SteeringEntry> steering;
};

/// Where a micro-batch was guided: the state, the velocity that led on from it, and what guidance added.
struct GuidedState {
  Step step;
  at::Tensor x, v;    // [B,C,F,H,W]; v = v_old + delta v
  at::Tensor size_B;  // mean over elements of |delta v|^2
  at::Tensor used_B;  // bool: the reward led it
};

class GuidanceToPolicyRun final : public MethodRun {
 public:
  GuidanceToPolicyRun(const Options& options, Training& training) : o_(options), t_(training) {
    require_abilities(o_.steering, *training.rewards);
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto batches = draw(iteration, metrics);
    const auto used_B = used(batches);
    metrics.emplace_back("masked_samples", static_cast<double>((~used_B).sum().item<int64_t>()));
    for (int64_t i = 0; i < o_.passes * o_.groups.updates; ++i) {
      auto update = update_of(batches, o_.groups, i % o_.groups.updates, used_B);
      update.index = i;
      train(update, iteration, metrics);
    }
    states_.clear();
    say_distilled(metrics);
    return metrics;
  }

 private:
  std::vector<MicroBatch> draw(int64_t iteration, Metrics& metrics) {
    states_.clear();
    LedRollout led(t_, o_.steering, step_window(t_.options.sampler, t_.seed(), iteration));
    auto batches = draw_unscored_groups(t_, iteration, o_.groups, t_.guided(t_.space.reference()),
                                        [&](const SamplerInput& in) { return sample(led, in); });
    const auto cost = led.say(metrics);
    if (states_.begin()->second.empty())
      throw Error("/method/steering", "guides in none of the sampler's steps: move its window");
    if (const auto why = came_to_nothing(cost); !why.empty()) throw Error("/rewards", why);
    return batches;
  }

  Trajectory sample(LedRollout& led, SamplerInput in) {
    std::vector<GuidedState> states;
    SteeringTrace trace;
    trace.led = [&](const at::Tensor& x, const Step& step, const at::Tensor& v, const at::Tensor& guided) {
      states.push_back({step, x, guided, velocity_kl(guided, v), {}});
    };
    const auto slots = in.slot_B;
    auto trajectory = led.sample(std::move(in), trace);
    for (auto& state : states) state.used_B = used(state, slots, trace.scores);
    const std::lock_guard lock(mutex_);
    states_[slots.front()] = std::move(states);
    return trajectory;
  }

  const std::vector<GuidedState>& states_of(const MicroBatch& batch) const {
    return states_.at(batch.rows.front().slot);
  }

  at::Tensor used(const GuidedState& state, const std::vector<int64_t>& slots,
                  const StepScores& scores) const {
    auto led_B = at::empty({static_cast<int64_t>(slots.size())}, at::kBool);
    for (size_t b = 0; b < slots.size(); ++b)
      led_B[static_cast<int64_t>(b)] = !scores.lost(state.step.index, slots[b]);
    const auto finite_B = [](const at::Tensor& x) { return x.isfinite().flatten(1).all(1); };
    return on_device(led_B, t_.device()).logical_and(finite_B(state.x)).logical_and(finite_B(state.v));
  }

  // Samples that were led anywhere.
  at::Tensor used(const std::vector<MicroBatch>& batches) const {
    std::vector<at::Tensor> of_batches;
    for (const auto& batch : batches) {
      std::vector<at::Tensor> of_states;
      for (const auto& state : states_of(batch)) of_states.push_back(state.used_B);
      of_batches.push_back(at::stack(of_states).any(0).cpu());
    }
    return at::cat(of_batches);
  }

  void train(const Update& update, int64_t iteration, Metrics& metrics) {
    const auto velocity = t_.guided(t_.policy.velocity());
    auto [gradients, records] = update_gradients(t_, update, 1, [&](const Share& share, StepRecord& record) {
      const auto& states = states_of(share.batch);
      const ShareHeads of_share({}, update, share, static_cast<int64_t>(states.size()), t_.device());
      Gradients sums(1);
      for (const auto& state : states) {
        const auto here_B = at::logical_and(of_share.used_B(), state.used_B);
        const auto v = velocity(used_rows(state.x, here_B), state.step, share.batch.conditioning);
        const auto mean = [&](const at::Tensor& value_B) {
          return of_share.mean(at::where(here_B, value_B, 0.0));
        };
        const auto loss = mean(velocity_kl(v, used_rows(state.v, here_B)));
        record.add({{"policy_loss", loss.detach()}, {"guidance_size", mean(state.size_B)}});
        accumulate(sums[0], gradients_of(loss, t_.policy.parameters()));
      }
      return sums;
    });
    add_measured(records, o_.passes * o_.groups.updates, metrics);
    apply(t_, t_.policy, std::move(gradients[0]), iteration, metrics);
  }

  const Options o_;
  Training& t_;
  std::mutex mutex_;
  std::map<int64_t, std::vector<GuidedState>>
      states_;  // of an iteration's micro-batches, by their first slot
};

class GuidanceToPolicy final : public MethodOf<GuidanceToPolicy, GuidanceToPolicyRun, Options> {
 public:
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    f.integer({"passes", "over the states of a rollout, each of all its updates"}, o_.passes, 1, 1000);
    f.list({"steering", "the guidance of the rollouts, as in a sample job", true}, o_.steering,
           [](Fields& s, SteeringEntry& entry) { thalweg::describe(s, entry); });
  }

  void check(const TrainingOptions&) const override {
    check_groups(o_.groups);
    bool steers = false;
    for (const auto& entry : o_.steering) {
      steers = steers || entry.method->steers();
      if (!entry.method->leads_by_velocity())
        throw Error(
            entry.choice,
            entry.method.name() +
                " chooses among samples, which no velocity does: take guidance by a gradient, or doob "
                "with \"form\": \"vjp\", without greedy_tail and keep_best");
      if (entry.method->samples() && o_.steering.size() > 1)
        throw Error(entry.choice, entry.method.name() + " must stand alone: its states would count twice");
    }
    if (!steers) throw Error("/method/steering", "leads nowhere: there is nothing to distil");
  }

  std::vector<SteeringEntry> steering() const override { return o_.steering; }
};

}  // namespace

std::unique_ptr<Method> make_guidance_to_policy() {
  return std::make_unique<GuidanceToPolicy>();
}

}  // namespace thalweg
