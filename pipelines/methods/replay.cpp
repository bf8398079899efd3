#include "pipelines/methods/replay.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <map>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/losses/grpo.h"

namespace thalweg {
namespace {

/// Of the policy before the iteration's updates, one a trained step.
struct Anchor {
  at::Tensor log_prob_B, mean;
};
using Anchors = std::vector<Anchor>;  // of a micro-batch

class Replayer {
 public:
  Replayer(const Training& training, const Transitions& transitions, const Replay& replay)
      : t_(training),
        transitions_(transitions),
        replay_(replay),
        reference_(replay.options.kl_beta > 0.0
                       ? guided(replay.reference ? replay.reference : t_.space.reference())
                       : Velocity{}) {}

  // Of shares of later updates, while the policy is still the one that drew them.
  Anchors anchors(const MicroBatch& batch, const at::Tensor& used_B) const {
    c10::NoGradGuard no_grad;
    Anchors anchors;
    for (size_t i = 0; i < batch.trajectory.trained_steps.size(); ++i) {
      const auto replayed = replayed_step(batch, i, used_B);
      anchors.push_back({replayed.log_prob_B, replayed.there.mean_BCFHW});
    }
    return anchors;
  }

  Gradients train_share(const Share& share, const ShareHeads& heads, const Anchors* anchors, bool first,
                        int64_t count, StepRecord& record) const {
    const auto& batch = share.batch;
    Gradients sums(static_cast<size_t>(count));
    for (size_t i = 0; i < batch.trajectory.trained_steps.size(); ++i) {
      auto replayed = replayed_step(batch, i, heads.used_B());
      const auto rollout_log_prob_B = batch.trajectory.log_probs_TB[static_cast<int64_t>(i)];
      if (anchors) {
        replayed.old_log_prob_B = (*anchors)[i].log_prob_B;
        replayed.old_mean = [mean = (*anchors)[i].mean] { return mean; };
      } else if (replay_.options.anchor == "recomputed") {  // nothing has changed yet
        replayed.old_log_prob_B = replayed.log_prob_B.detach();
        replayed.old_mean = [mean = replayed.there.mean_BCFHW.detach()] { return mean; };
      } else {
        replayed.old_log_prob_B = rollout_log_prob_B;
        replayed.old_mean = [this, &replayed] { return drawn_mean(t_, replayed); };
      }
      auto loss = replay_.loss(replayed, share);
      if (reference_)
        loss.penalties.push_back(
            {"kl_loss",
             reference_kl(replayed, replayed.there.mean_BCFHW, reference_, replay_.options.kl_scale),
             replay_.options.kl_beta});
      if (first)
        loss.numbers.push_back(
            {"ratio_dev_first_step",
             at::where(heads.used_B(), replayed.log_prob_B.detach() - rollout_log_prob_B, 0.0).abs().max(),
             /*largest=*/true});
      heads.differentiate(loss, t_.policy.parameters(), sums, record);
    }
    return sums;
  }

 private:
  Velocity guided(const Velocity& velocity) const {
    return replay_.shared ? replay_.shared(t_.guided(velocity)) : t_.guided(velocity);
  }

  Replayed replayed_step(const MicroBatch& batch, size_t i, const at::Tensor& used_B) const {
    auto r = stored_step(t_, transitions_.kernel, batch, i, used_B);
    const auto v = guided(t_.policy.velocity())(r.x, r.step, batch.conditioning);
    r.there = transition(r.x, v, r.step.kernel);
    r.log_prob_B = log_prob(r.next, r.there, replay_.log_prob);
    return r;
  }

  const Training& t_;
  const Transitions& transitions_;
  const Replay& replay_;
  const Velocity reference_;
};

void add_measures(StepLoss& loss, const at::Tensor& log_ratio_B, const at::Tensor& ratio_B,
                  double clip_range) {
  const auto dtype = ratio_B.scalar_type();
  const auto above_B = (ratio_B - 1.0 > clip_range).to(dtype),
             below_B = (1.0 - ratio_B > clip_range).to(dtype);
  loss.measures.push_back({"approx_kl", 0.5 * log_ratio_B.square()});
  loss.measures.push_back({"clipfrac", above_B + below_B});
  loss.measures.push_back({"clipfrac_gt_one", above_B});
  loss.measures.push_back({"clipfrac_lt_one", below_B});
}

// Before the first update the policy is the one that drew the samples: both paths must say so.
void check_agreement(const Training& t, const Metrics& metrics) {
  constexpr double kTolerance = 1e-5;
  for (const auto& [name, deviation] : metrics)
    if (name == "ratio_dev_first_step" && t.options.model.dtype == "float32" && !(deviation <= kTolerance))
      throw Error("", "rollout and training disagree: |log p - log p_old| is " + std::to_string(deviation) +
                          " before the first update, above 1e-5; the policy gradient would be wrong. Please "
                          "report this job; a sampler step with almost no noise (see /sampler/noise_level) "
                          "is the usual cause");
}

}  // namespace

void describe(Fields& f, ReplayOptions& o) {
  f.choice({"anchor",
            "log-probs that the ratio compares with: the rollout's, or those of the same policy along the "
            "training's path (one forward more a stored step of all updates but the first)"},
           o.anchor, {"rollout", "recomputed"});
  f.number({"kl_beta", "weight of the KL term against the reference"}, o.kl_beta, 0.0, 1e3);
  f.choice({"kl_scale",
            "divide the squared difference of the steps' means by 2 g^2 (diffusion, Flow-GRPO) or by 2 std^2 "
            "(std, the true KL); velocity: the squared difference of the velocities, alike at all steps"},
           o.kl_scale, {"diffusion", "std", "velocity"});
}

Transitions draw_transitions(Training& t, int64_t iteration, const GroupPlan& plan, StepWindow window,
                             const std::vector<int64_t>& trained, Metrics& metrics) {
  const auto& sampler = t.options.sampler;
  auto batches = draw_groups(t, iteration, plan, t.guided(t.policy.velocity()), [&](const SamplerInput& in) {
    return draw_samples(in, sampler, window, trained);
  });
  auto scores = score(t, batches, metrics);
  return {std::move(batches), std::move(scores), kernel_of(sampler, window)};
}

void train_on_transitions(Training& t, const Transitions& transitions, const GroupPlan& plan,
                          const Advantages& advantages, Aggregator& aggregator, const Replay& replay,
                          int64_t iteration, Metrics& metrics) {
  const Replayer replayer(t, transitions, replay);
  std::vector<Update> updates;
  for (int64_t i = 0; i < plan.updates; ++i)
    updates.push_back(update_of(transitions.batches, plan, i, advantages.used_B));
  std::map<const MicroBatch*, Anchors> anchors;
  if (replay.options.anchor == "recomputed") {
    std::vector<const Share*> later;
    for (size_t i = 1; i < updates.size(); ++i)
      for (const auto& share : updates[i].shares) later.push_back(&share);
    for (const auto* share : later) anchors[&share->batch];
    t.workers.for_each(static_cast<int64_t>(later.size()), [&](int64_t i) {
      PhaseClock::Scope scope(t.clock, "train");
      const auto& share = *later[static_cast<size_t>(i)];
      anchors.at(&share.batch) =
          replayer.anchors(share.batch, on_device(share.rows(advantages.used_B), t.device()));
    });
  }
  for (const auto& update : updates) {
    const auto heads = aggregator.heads(advantages, update);
    const auto count = gradients_of_heads(heads.size());
    auto [gradients, records] =
        update_gradients(t, update, count, [&](const Share& share, StepRecord& record) {
          const auto steps = static_cast<int64_t>(share.batch.trajectory.trained_steps.size());
          const auto found = anchors.find(&share.batch);
          return replayer.train_share(share, {heads, update, share, steps, t.device()},
                                      found == anchors.end() ? nullptr : &found->second, update.index == 0,
                                      count, record);
        });
    Metrics measured;
    add_measured(records, plan.updates, measured);
    if (iteration == 0 && update.index == 0) check_agreement(t, measured);
    apply_heads(t, t.policy, aggregator, std::move(gradients), iteration, metrics);
    for (const auto& [name, value] : measured) add_metric(metrics, name, value);
  }
}

void add_ratio_measures(StepLoss& loss, const Replayed& r, const at::Tensor& ratio_B, double clip_range) {
  add_measures(loss, r.log_prob_B.detach() - r.old_log_prob_B, ratio_B, clip_range);
}

void add_ratio_measures(StepLoss& loss, const at::Tensor& log_ratio_B, double clip_range) {
  const auto log_ratio = log_ratio_B.detach();
  add_measures(loss, log_ratio, ratio(log_ratio, at::zeros_like(log_ratio)), clip_range);
}

void check_replay(const SamplerSection& sampler, const std::string& method) {
  require_noise(sampler, method);
  if (sampler.window_begin >= sampler.steps - 1)
    throw Error("/sampler/window/begin", "leaves no step to train; it must be below " +
                                             std::to_string(sampler.steps - 1) +
                                             ", since the last step is never trained");
  const bool to_the_end = sampler.window_until == 0 || sampler.window_until == sampler.steps;
  if (sampler.window_size == 1 && sampler.window_policy != "fixed" && to_the_end)
    throw Error("/sampler/window/size",
                "a window of one step that moves comes to the last step, which is never trained; take 2 or "
                "more, or end it "
                "before with /sampler/window/until");
}

}  // namespace thalweg
