// Euphonium (arXiv 2602.04928, from its code): the drift of a rollout follows the gradient of a process
// reward R(x_t, t), while log-probs, the rollout's and the policy's, are of the UNGUIDED mean: the ratio
// takes what guidance added for exploration, and draws the policy there. Two rewards share that ratio:
//   loss = w_o PPO(A_o) + w_p PPO(A_p[step]),
// A_o of the finished samples' rewards, A_p of R(x_t, t) in its group at the steps where it was asked, else
// 0. Without guidance it is Flow-GRPO, or with dance_sde DanceGRPO. The authors keep the best and worst of a
// group by all advantages; here `keep` looks at A_o.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/statistics.h"
#include "engine/losses/grpo.h"
#include "pipelines/methods/led_rollout.h"
#include "pipelines/methods/replay_method.h"

namespace thalweg {
namespace {

/// One of the two rewards in the loss.
struct Side {
  double weight = 1.0;
  int64_t window_begin = 0, window_size = 0;  // steps at which it counts; size 0: to the end

  double at(int64_t step) const {
    return StepWindow::of(window_begin, window_size).contains(step) ? weight : 0.0;
  }
};

void describe_side(Fields& f, Field field, Side& side) {
  f.object(field, [&](Fields& s) {
    s.number({"weight", "of its clipped loss"}, side.weight, 0.0, 1e3);
    s.object({"window", "steps at which it counts"},
             [&](Fields& w) { describe_window(w, side.window_begin, side.window_size); });
  });
}

class Euphonium final : public Cloneable<Euphonium, ClippedReplay> {
 public:
  Euphonium() : Cloneable("euphonium", 1e-4) {
    o_.groups = {8, 8, 2};
    o_.advantages.norm = {.deviation = DeviationOver::group, .clip = 5.0, .ddof = 1, .eps = 1e-8};
    o_.step_fraction = 0.6;
  }

  void describe(Fields& f) override {
    ClippedReplay::describe(f);
    describe_step_fraction(f);
    f.object({"guidance", "of the rollouts, by the rewards for process (see /rewards/use)"},
             [&](Fields& g) { guidance_->describe(g); });
    describe_side(f, {"outcome", "advantages of the finished samples' rewards"}, outcome_);
    describe_side(f, {"process", "advantages of what guidance scored at a step"}, process_);
  }

  void check(const TrainingOptions& options) const override {
    ClippedReplay::check(options);
    for (const auto& [side, name] : {std::pair{&outcome_, "outcome"}, std::pair{&process_, "process"}})
      check_window(side->window_begin, side->window_size, options.sampler.steps,
                   std::string("/method/") + name + "/window");
    if (outcome_.weight == 0.0 && process_.weight == 0.0)
      throw Error("/method/outcome/weight", "is 0, as /method/process/weight is: nothing would be trained");
    if (process_.weight > 0.0 && !guidance_->steers())
      throw Error("/method/process/weight",
                  "must be 0 where /method/guidance has neither guidance_scale nor beta: no process reward "
                  "is asked then");
    if (guidance_->steers() && o_.replay.kl_beta > 0.0 && o_.reference.kl_in == "reward")
      throw Error("/method/kl_in",
                  "must be \"loss\": guided samples are no draws of the policy, and say nothing of its "
                  "distance");
  }

  std::vector<SteeringEntry> steering() const override {
    if (!guidance_->steers()) return {};
    return {{guidance_, "/method/guidance", "/method/guidance/gradient"}};
  }

  std::unique_ptr<MethodRun> start(Training& training) const override;

  double outcome_weight(int64_t step) const { return outcome_.at(step); }
  double process_weight(int64_t step) const { return process_.at(step); }
  bool has_process() const { return process_.weight > 0.0; }
  double clip() const { return clip_range_; }

 private:
  Chosen<SteeringMethod> guidance_{steering_table(), "euphonium"};
  Side outcome_, process_;
};

class EuphoniumRun final : public ReplayRun {
 public:
  EuphoniumRun(std::unique_ptr<Method> method, Training& training)
      : ReplayRun(std::move(method), training),
        e_(dynamic_cast<const Euphonium&>(this->method())),
        entries_(e_.steering()) {
    require_abilities(entries_, *training.rewards);
  }

 protected:
  Transitions drawn(int64_t iteration, StepWindow window, const std::vector<int64_t>& trained,
                    Metrics& metrics) override {
    if (entries_.empty()) return ReplayRun::drawn(iteration, window, trained, metrics);
    auto& t = training();
    const auto& plan = e_.options().groups;
    first_slot_ = iteration * plan.samples();
    process_TB_ =
        at::full({t.schedule.steps(), plan.samples()}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
    LedRollout led(t, entries_, window, trained);
    auto batches = draw_groups(t, iteration, plan, t.guided(fixed(t, t.policy)),
                               [&](const SamplerInput& in) { return sample(led, in); });
    led.say(metrics);
    auto scores = score(t, batches, metrics);
    compare(metrics);
    return {std::move(batches), std::move(scores), kernel_of(t.options.sampler, window)};
  }

  StepLoss loss(const Replayed& r) const override {
    auto loss = ReplayRun::loss(r);
    if (const double weight = e_.outcome_weight(r.step.index); weight != 1.0)
      loss.policy_B = [of_one = loss.policy_B, weight](const at::Tensor& a) { return of_one(a) * weight; };
    if (!e_.has_process()) return loss;
    const auto advantage_B = process_advantages(r).to(r.log_prob_B.options());
    loss.penalties.push_back({"process_loss",
                              grpo_loss(r.log_prob_B, r.old_log_prob_B, advantage_B, e_.clip()).loss_B,
                              e_.process_weight(r.step.index)});
    return loss;
  }

 private:
  // Log-probs of the trained steps are those of the unguided mean.
  Trajectory sample(LedRollout& led, SamplerInput in) {
    std::map<int64_t, Transition> unguided;  // by step
    SteeringTrace trace;
    trace.led = [&](const at::Tensor& x, const Step& step, const at::Tensor& v, const at::Tensor&) {
      unguided[step.index] = transition(x, v, step.kernel);
    };
    const auto slots = in.slot_B;
    auto trajectory = led.sample(std::move(in), trace);
    const auto form = log_prob_of(training().options.sampler);
    for (size_t k = 0; k < trajectory.trained_steps.size(); ++k)
      if (const auto it = unguided.find(trajectory.trained_steps[k]); it != unguided.end())
        trajectory.log_probs_TB[static_cast<int64_t>(k)].copy_(
            log_prob(trajectory.next_latents[k], it->second, form));
    auto* value = process_TB_.mutable_data_ptr<double>();  // columns of its own
    for (int64_t step = 0; step < process_TB_.size(0); ++step)
      for (const auto slot : slots)
        value[step * process_TB_.size(1) + slot - first_slot_] = trace.scores.mean(step, slot);
    return trajectory;
  }

  // Scores of each step become advantages. Columns are those of slots, as the groups are.
  void compare(Metrics& metrics) {
    std::vector<int64_t> group_B;
    for (int64_t i = 0; i < process_TB_.size(1); ++i) group_B.push_back(i / e_.options().groups.group_size);
    const auto scored_TB = process_TB_.isfinite();
    metrics.emplace_back("process_reward", masked_mean(process_TB_.flatten(), scored_TB.flatten()));
    const auto& norm = e_.options().advantages.norm;
    for (int64_t step = 0; step < process_TB_.size(0); ++step)
      process_TB_[step].copy_(
          group_advantages(process_TB_[step].clone(), scored_TB[step], group_B, norm).values_B);
  }

  at::Tensor process_advantages(const Replayed& r) const {
    std::vector<int64_t> columns;
    for (const auto slot : r.step.slot_B) columns.push_back(slot - first_slot_);
    return on_device(process_TB_[r.step.index].index_select(0, at::tensor(columns, at::kLong)),
                     training().device());
  }

  const Euphonium& e_;
  const std::vector<SteeringEntry> entries_;
  int64_t first_slot_ = 0;  // of the iteration
  at::Tensor process_TB_;   // float64 on the CPU, of all steps and samples: scores, then advantages
};

std::unique_ptr<MethodRun> Euphonium::start(Training& training) const {
  return std::make_unique<EuphoniumRun>(clone(), training);
}

}  // namespace

std::unique_ptr<Method> make_euphonium() {
  return std::make_unique<Euphonium>();
}

}  // namespace thalweg
