// TDM-R1 (Luo et al. 2026, arXiv 2603.07700): a generator of K deterministic steps learns from rewards that
// need no gradient. What ends in x_0 by the ODE has x_0's reward at every state, so rewards are shared by the
// states of a trajectory. A surrogate learns them as log p_phi / p_ref, and the generator's clean estimate
// x_0m is drawn, at states noised again, along three differences of estimates, none with a gradient:
//   d_R   = mu_phi - mu_ref           where the surrogate leads away from the teacher,
//   d_CFG = (s - 1) (mu_c - mu_u)     the teacher's guidance,
//   d_KL  = mu_c - mu_fake            from the generator's own distribution to the teacher's,
// each by its weight and divided by mean |x_0m - mu| of its own target mu. In this order: rollout, rewards,
// critic, surrogate, generator.
//
// From `reward_steps` on, guidance and KL make one term and rewards none, as in the authors' trainer. Where
// paper and trainer differ, l_ref is the trainer's (the frozen teacher); "reference": "average" is the
// paper's. The trainer guides the surrogate (2.5 to 4.5); here not unless asked to. A surrogate by
// DiffusionNFT's contrast is ours: it stays nearer to the teacher (docs/results/few_step.md). A denoising
// loss never touches the generator itself: that blurs it.
#include <ATen/ATen.h>

#include "engine/core/device.h"
#include "engine/losses/distribution_matching.h"
#include "pipelines/methods/critic.h"
#include "pipelines/methods/method.h"
#include "pipelines/methods/surrogate.h"
#include "samplers/flow_algebra.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{8, 12, 1};
  AdvantageOptions advantages;
  std::string teacher;
  double guidance_scale = 4.5, guidance_weight = 0.3, reward_weight = 0.7, reward_guidance = 1.0,
         reward_minimum = 0.25, huber = 0.0;
  int64_t reward_steps = 0, states = 1;
  TauOptions tau;
  CriticOptions critic{.states = 1};
  SurrogateOptions surrogate;
};

class TdmR1Run final : public MethodRun {
 public:
  TdmR1Run(const Options& options, Training& training)
      : o_(options),
        t_(training),
        teacher_(teacher_of(training, options.teacher)),
        critic_(options.critic, options.tau, teacher_.velocity, training),
        surrogate_(options.surrogate, options.tau, teacher_, options.advantages.norm.clip, training),
        aggregator_(options.advantages.start(training)) {
    check_tau(o_.tau, training.schedule);
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    Walks walks(draw_groups(t_, iteration, o_.groups, t_.policy.velocity(),
                            [](const SamplerInput& in) { return walk(in); }),
                o_.groups, metrics);
    const auto advantages = aggregator_->advantages(score(t_, walks.batches(), metrics), metrics);
    const auto updates = o_.groups.updates, draw = o_.critic.updates;
    for (int64_t i = 0; i < updates; ++i) critic_.learn(walks, i, iteration, updates, metrics);
    if (iteration < o_.critic.alone) return metrics;
    surrogate_.learn(walks, o_.groups, advantages, *aggregator_, iteration, metrics);
    for (int64_t i = 0; i < updates; ++i)
      train_on_walked(
          t_, t_.policy, walks.update(i),
          {"policy_loss", o_.states, draw, [&](const WalkedStep& w) { return generator_loss(w, draw); }},
          t_.policy.rate_at(iteration, t_.options.iterations), updates, metrics);
    return metrics;
  }

  void state(RunState& state) override { aggregator_->state(state); }
  double stored_latents() const override { return Walks::stored_latents(t_.schedule); }

 private:
  StateLoss generator_loss(const WalkedStep& w, int64_t draw) const {
    const auto clean = clean_estimate(w.x, t_.policy.velocity()(w.x, w.step, w.batch.conditioning), w.step);
    const auto r = renoised(t_, w, o_.tau, draw);
    const auto mu_c = r.clean(teacher_.velocity), mu_fake = r.clean(critic_.velocity()),
               mu_phi = r.clean(cfg(o_.reward_guidance, t_.unconditional)(surrogate_.velocity())),
               mu_cfg = o_.guidance_weight > 0.0 ? guided_clean(r, mu_c) : mu_c;
    const auto L = [&](const at::Tensor& mu, const at::Tensor& from) {
      return distribution_matching_loss(clean, mu, from, o_.huber);
    };
    const auto rewarded =
        L(mu_c, mu_fake) + o_.guidance_weight * L(mu_cfg, mu_c) +
        o_.reward_weight * at::where(r.step.sigma_B >= o_.reward_minimum, L(mu_phi, mu_c), 0.0);
    const auto gap = [](const at::Tensor& a, const at::Tensor& b) {
      return (a - b).abs().flatten(1).mean(1);
    };
    return {o_.reward_steps > 0 ? at::where(is_rewarded(w), rewarded, o_.guidance_weight * L(mu_cfg, mu_fake))
                                : rewarded,
            {{"matching_gap", gap(mu_c, mu_fake)}, {"reward_gap", gap(mu_phi, mu_c)}}};
  }

  // The teacher's estimate with guidance, from the one without.
  at::Tensor guided_clean(const Renoised& r, const at::Tensor& mu_c) const {
    const auto mu_u = r.clean([this](const at::Tensor& x, const Step& step, const Conditioning&) {
      return teacher_.velocity(x, step, t_.unconditional.repeated(x.size(0)));
    });
    return mu_c + (o_.guidance_scale - 1.0) * (mu_c - mu_u);
  }

  at::Tensor is_rewarded(const WalkedStep& w) const {
    return on_device(at::tensor(w.k_B, at::kLong), w.x.device()) < o_.reward_steps;
  }

  const Options o_;
  Training& t_;
  const Teacher teacher_;
  Critic critic_;
  Surrogate surrogate_;
  const std::unique_ptr<Aggregator> aggregator_;
};

class TdmR1 final : public MethodOf<TdmR1, TdmR1Run, Options> {
 public:
  bool few_step() const override { return true; }
  double guidance_scale() const override { return std::max(o_.guidance_scale, o_.reward_guidance); }
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.advantages);
    describe_teacher(f, o_.teacher);
    f.number({"guidance_scale", "s of the teacher's guidance"}, o_.guidance_scale, 0.0, 100.0);
    f.number({"guidance_weight", "of d_CFG"}, o_.guidance_weight, 0.0, 1e3);
    f.number({"reward_weight", "of d_R"}, o_.reward_weight, 0.0, 1e3);
    f.number({"reward_guidance", "guidance scale of the surrogate in d_R; at most 1: none"},
             o_.reward_guidance, 0.0, 100.0);
    f.number({"reward_minimum", "lowest noise level at which d_R counts"}, o_.reward_minimum, 0.0, 1.0);
    f.integer({"reward_steps", "first steps of a trajectory that learn from rewards; 0: all"},
              o_.reward_steps, 0, 1000);
    f.number({"huber", "errors above it count linearly; 0: squares"}, o_.huber, 0.0, 1.0);
    f.integer(
        {"states", "of each trajectory that the generator learns from in one update, at random; 0: all"},
        o_.states, 0, 1000);
    f.object({"tau", "levels at which distributions are compared"},
             [this](Fields& t) { thalweg::describe(t, o_.tau); });
    f.object({"critic", "the role that learns the generator's distribution"},
             [this](Fields& c) { thalweg::describe(c, o_.critic); });
    f.object({"surrogate", "the role that learns what the rewards say"},
             [this](Fields& s) { thalweg::describe(s, o_.surrogate); });
  }

  void check(const TrainingOptions& options) const override {
    check_walks(options, o_.groups);
    check_teacher(o_.teacher, options);
    check_critic(o_.critic, 0, options);
  }

  int64_t waits() const override { return o_.critic.alone; }

  std::string teacher() const override { return o_.teacher; }
  std::optional<double> clip_range() const override {
    return o_.surrogate.loss == "group" ? std::optional(o_.surrogate.preference.clip_range) : std::nullopt;
  }
};

}  // namespace

std::unique_ptr<Method> make_tdm_r1() {
  return std::make_unique<TdmR1>();
}

}  // namespace thalweg
