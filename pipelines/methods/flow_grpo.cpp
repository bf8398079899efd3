// Flow-GRPO (Liu et al. 2025, arXiv 2505.05470): rollout with the SDE -> score -> group advantages -> clipped
// policy loss on the stored transitions, each replayed with its stored next latent -> optimizer.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/losses/grpo.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/method.h"
#include "pipelines/training/scores.h"
#include "pipelines/training/updates.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{8, 16, 2};
  AdvantageOptions advantages;
  double clip_range = 1e-4, kl_beta = 0.0;
  std::string kl_scale = "diffusion";  // or "std"
};

// NaN wins: std::max would drop it.
double larger(double a, double b) {
  return a >= b ? a : b >= a ? b : std::nan("");
}

struct ReplayStatistics {
  double policy_loss = 0.0, kl_loss = 0.0, clipped = 0.0, clipped_above = 0.0, clipped_below = 0.0,
         approx_kl = 0.0;
  double log_prob_deviation = 0.0;  // largest |replayed - rollout| before the first update

  // A row of the record, in the order of FlowGrpoRun::measured.
  void add_step(const std::vector<double>& row) {
    policy_loss += row[0];
    kl_loss += row[1];
    clipped += row[2] + row[3];
    clipped_above += row[2];
    clipped_below += row[3];
    approx_kl += 0.5 * row[4];
    log_prob_deviation = larger(log_prob_deviation, row[5]);
  }
  void add(const ReplayStatistics& s) {
    policy_loss += s.policy_loss;
    kl_loss += s.kl_loss;
    clipped += s.clipped;
    clipped_above += s.clipped_above;
    clipped_below += s.clipped_below;
    approx_kl += s.approx_kl;
    log_prob_deviation = larger(log_prob_deviation, s.log_prob_deviation);
  }
};

class FlowGrpoRun final : public MethodRun {
 public:
  FlowGrpoRun(const Options& options, Training& training)
      : o_(options), t_(training), log_prob_(log_prob_of(training.options.sampler)) {}

  Metrics iterate(int64_t iteration) override {
    const auto& sampler = t_.options.sampler;
    const auto window = step_window(sampler, t_.seed(), iteration);
    const auto trained = trained_steps(window, sampler.steps);
    const auto kernel = kernel_of(sampler, window);
    Metrics metrics;
    const auto batches =
        draw_groups(t_, iteration, o_.groups, t_.guided(t_.policy.velocity()),
                    [&](const SamplerInput& in) { return draw_samples(in, sampler, window, trained); });
    const auto advantages = advantages_of(score(t_, batches, metrics), o_.advantages, metrics);
    for (int64_t update = 0; update < o_.groups.updates; ++update) {
      const auto mine = update_of(batches, o_.groups, update, advantages.used_B);
      auto [gradients, records] =
          update_gradients(t_, mine, 1, [&](const Share& share, StepRecord& record) -> Gradients {
            return {replay_micro_batch(share, advantages, mine.used, kernel, record)};
          });
      const auto statistics = summed<ReplayStatistics>(records);
      if (update == 0) check_agreement(statistics.log_prob_deviation, iteration, metrics);
      apply(t_, t_.policy, std::move(gradients[0]), iteration, metrics);
      report(statistics, metrics);
    }
    return metrics;
  }

 private:
  TensorMap replay_micro_batch(const Share& share, const GroupAdvantages& advantages, double used,
                               const Kernel& kernel, StepRecord& record) const {
    const auto& batch = share.batch;
    const auto& trajectory = batch.trajectory;
    const auto used_B = on_device(share.rows(advantages.used_B), t_.device());
    const auto slots = batch.slot_B();
    const auto dtype = trajectory.x0_BCFHW.scalar_type();
    const auto advantage = on_device(share.rows(advantages.values_B).to(dtype), t_.device()),
               mask = used_B.to(dtype);
    const auto weight = mask / (used * static_cast<double>(trajectory.trained_steps.size()));
    const auto velocity = t_.guided(t_.policy.velocity());
    const auto reference = o_.kl_beta > 0.0 ? t_.guided(t_.space.reference()) : Velocity{};
    TensorMap gradients;
    for (size_t t = 0; t < trajectory.trained_steps.size(); ++t) {
      const int64_t index = trajectory.trained_steps[t];
      const auto step = step_of(kernel, trajectory.schedule, index, slots, t_.device());
      const auto x = used_rows(trajectory.latents[t], used_B);
      const auto there = transition(x, velocity(x, step, batch.conditioning), step.kernel);
      const auto replayed = log_prob(used_rows(trajectory.next_latents[t], used_B), there, log_prob_);
      const auto old_log_prob = trajectory.log_probs_TB[static_cast<int64_t>(t)];
      const auto policy = grpo_loss(replayed, old_log_prob, advantage, o_.clip_range);
      // where(), not a product: a masked sample's loss may be NaN, and NaN * 0 is NaN.
      auto loss = at::where(used_B, policy.loss_B * weight, 0.0).sum();
      const auto policy_loss = loss.detach();
      auto kl_loss = at::zeros_like(policy_loss);
      if (reference) {
        const auto kl =
            at::where(used_B, kl_to_reference(reference, batch, x, step, there) * weight, 0.0).sum();
        kl_loss = kl.detach();
        loss = loss + kl * o_.kl_beta;
      }
      accumulate(gradients, gradients_of(loss, t_.policy.parameters()));
      record.add(measured(policy_loss, kl_loss, at::where(used_B, policy.ratio_B, 1.0),
                          at::where(used_B, replayed.detach() - old_log_prob, 0.0), weight));
    }
    return gradients;
  }

  at::Tensor kl_to_reference(const Velocity& velocity, const MicroBatch& batch, const at::Tensor& x,
                             const Step& step, const Transition& policy) const {
    at::Tensor reference;
    {
      c10::NoGradGuard no_grad;
      reference = transition(x, velocity(x, step, batch.conditioning), step.kernel).mean_BCFHW;
    }
    const double scale =
        o_.kl_scale == "std" ? policy.std : diffusion(step.kernel, batch.trajectory.schedule, step.index);
    return gaussian_kl(policy.mean_BCFHW, reference, scale);
  }

  // The numbers of one step, as ReplayStatistics::add_step takes them.
  std::vector<at::Tensor> measured(const at::Tensor& policy_loss, const at::Tensor& kl_loss,
                                   const at::Tensor& ratio_B, const at::Tensor& log_ratio_B,
                                   const at::Tensor& weight_B) const {
    const auto share = [&](const at::Tensor& condition) {
      return (condition.to(weight_B.scalar_type()) * weight_B).sum();
    };
    return {policy_loss,
            kl_loss,
            share(ratio_B - 1.0 > o_.clip_range),
            share(1.0 - ratio_B > o_.clip_range),
            (log_ratio_B.square() * weight_B).sum(),
            log_ratio_B.abs().max()};
  }

  // Before the first update the policy is the one that drew the samples: both paths must say so.
  void check_agreement(double deviation, int64_t iteration, Metrics& metrics) const {
    metrics.emplace_back("ratio_dev_first_step", deviation);
    constexpr double kTolerance = 1e-5;
    if (iteration == 0 && t_.options.model.dtype == "float32" && !(deviation <= kTolerance))
      throw Error(
          "",
          "rollout and training disagree: |log p - log p_old| is " + std::to_string(deviation) +
              " before the first update, above 1e-5; the policy gradient would be wrong. Please report this "
              "job; a sampler step with almost no noise (see /sampler/noise_level) is the usual cause");
  }

  void report(const ReplayStatistics& s, Metrics& metrics) const {
    const double n = static_cast<double>(o_.groups.updates);
    add_metric(metrics, "policy_loss", s.policy_loss / n);
    if (o_.kl_beta > 0.0) add_metric(metrics, "kl_loss", s.kl_loss / n);
    add_metric(metrics, "approx_kl", s.approx_kl / n);
    add_metric(metrics, "clipfrac", s.clipped / n);
    add_metric(metrics, "clipfrac_gt_one", s.clipped_above / n);
    add_metric(metrics, "clipfrac_lt_one", s.clipped_below / n);
  }

  const Options o_;
  Training& t_;
  const LogProb log_prob_;
};

class FlowGrpo final : public Cloneable<FlowGrpo, Method> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.advantages);
    f.number({"clip_range", "PPO clip of the ratio; small because log-probs are means over latent elements"},
             o_.clip_range, 1e-9, 10.0);
    f.number({"kl_beta", "weight of the KL term against the reference"}, o_.kl_beta, 0.0, 1e3);
    f.choice({"kl_scale",
              "divide the squared mean difference by 2 g^2 (diffusion, Flow-GRPO) or by 2 std^2 (std, the "
              "true KL)"},
             o_.kl_scale, {"diffusion", "std"});
  }

  void check(const TrainingOptions& o) const override {
    check_groups(o_.groups);
    require_noise(o.sampler, "flow_grpo");
    if (o.sampler.window_begin >= o.sampler.steps - 1)
      throw Error("/sampler/window/begin", "leaves no step to train; it must be below " +
                                               std::to_string(o.sampler.steps - 1) +
                                               ", since the last step is never trained");
    if (o.sampler.window_size == 1 && o.sampler.window_policy != "fixed")
      throw Error(
          "/sampler/window/size",
          "a window of one step that moves comes to the last step, which is never trained; take 2 or more");
  }

  GroupPlan& groups() override { return o_.groups; }
  std::optional<double> clip_range() const override { return o_.clip_range; }
  std::unique_ptr<MethodRun> start(Training& training) const override {
    return std::make_unique<FlowGrpoRun>(o_, training);
  }

 private:
  Options o_;
};

}  // namespace

std::unique_ptr<Method> make_flow_grpo() {
  return std::make_unique<FlowGrpo>();
}

}  // namespace thalweg
