// TDM, Trajectory Distribution Matching (Luo et al. 2025, arXiv 2503.06674), for flow models: a generator of
// K deterministic steps, every state of whose trajectory is a training sample. The state that a step ends at
// is noised again, and the step's clean estimate x_0m is drawn to x_0m + mu_real - mu_fake: what the guided
// teacher makes of the noised state, minus what a critic does that learns the generator's own distribution.
// Prompts alone are data.
//
// A generator that starts as the teacher cannot walk K steps at all, so the first iterations may match the
// teacher's own trajectories, of finer steps (progressive distillation, Salimans & Ho 2022, arXiv 2202.00512,
// in one stage). The critic starts where that ends: guidance is in it already.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/error.h"
#include "engine/losses/distribution_matching.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/few_step.h"
#include "pipelines/methods/method.h"
#include "pipelines/training/selection.h"
#include "samplers/flow_algebra.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

struct Regression {
  int64_t iterations = 0, parts = 3, passes = 3;
  double learning_rate = 3e-4;
};

struct Critic {
  int64_t updates = 1, alone = 10;
  std::string target = "clean";  // or "path"
  double reference_beta = 0.0;
  OptimizerSection optimizer;
};

struct Options {
  GroupPlan groups{.groups = 24, .group_size = 1, .updates = 1};
  double guidance_scale = 4.5, huber = 0.0;
  TauOptions tau;
  Regression regression;
  Critic critic;
};

class TdmRun final : public MethodRun {
 public:
  TdmRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        critic_(training.roles.add("critic", training.space, leaves(cloned(training.policy.parameters())),
                                   Learning{options.critic.optimizer, 0.0})),
        teacher_(training.space.reference()),
        guided_(cfg(options.guidance_scale, training.unconditional)(teacher_)) {
    check_tau(o_.tau, training.schedule);
  }

  Metrics iterate(int64_t iteration) override {
    steps_ = 0;
    Metrics metrics;
    if (iteration < o_.regression.iterations) {
      regress(iteration, metrics);
      if (iteration + 1 == o_.regression.iterations) critic_.follow(t_.policy, 0.0);
    } else {
      match(iteration, metrics);
    }
    return metrics;
  }

 private:
  // The generator's steps become the teacher's whole ones.
  void regress(int64_t iteration, Metrics& metrics) {
    const auto& r = o_.regression;
    const auto batches = draw_trajectories(t_, iteration, o_.groups, guided_, r.parts);
    const auto used_B = said(batches, metrics);
    OptimizerSection falling;
    falling.schedule = "linear";
    falling.learning_rate = r.learning_rate;
    const double rate = falling.rate_at(iteration, r.iterations);
    const auto loss = [this](const WalkedStep& w) {
      return StateLoss{velocity_kl(t_.policy.velocity()(w.x, w.step, w.batch.conditioning), w.v())};
    };
    for (int64_t pass = 0; pass < r.passes; ++pass)
      for (int64_t i = 0; i < o_.groups.updates; ++i)
        train_on_walked(t_, t_.policy, update(batches, i, used_B), "regression_loss", loss, rate,
                        r.passes * o_.groups.updates, metrics);
  }

  void match(int64_t iteration, Metrics& metrics) {
    const auto batches = draw_trajectories(t_, iteration, o_.groups, t_.policy.velocity());
    const auto used_B = said(batches, metrics);
    const auto& c = o_.critic;
    const double rate = critic_.rate_at(iteration, t_.options.iterations);
    for (int64_t i = 0; i < o_.groups.updates; ++i) {
      for (int64_t j = 0; j < c.updates; ++j)
        train_on_walked(
            t_, critic_, update(batches, i, used_B), "critic_loss",
            [this, j](const WalkedStep& w) { return critic_loss(w, j); }, rate, c.updates * o_.groups.updates,
            metrics);
      if (iteration < o_.regression.iterations + c.alone) continue;
      train_on_walked(
          t_, t_.policy, update(batches, i, used_B), "policy_loss",
          [this](const WalkedStep& w) { return generator_loss(w); },
          t_.policy.rate_at(iteration, t_.options.iterations), o_.groups.updates, metrics);
    }
  }

  StateLoss critic_loss(const WalkedStep& w, int64_t draw) const {
    const auto r = renoised(t_, w, o_.tau, draw);
    const auto v = critic_.velocity()(r.x_tau, r.step, w.batch.conditioning);
    StateLoss loss;
    if (o_.critic.target == "path") {
      // Divided by its own size: it has no bound as tau nears s.
      const auto be_B = conditional_path(r.step.sigma_B, w.s).be_B;
      loss.loss_B =
          be_B.square() *
          velocity_kl(v, conditional_velocity(w.next, r.noise, r.step.sigma_B, w.s)).to(at::kDouble);
    } else {
      const auto tau = per_sample(r.step.sigma_B, v);
      loss.loss_B = velocity_kl(v, (r.x_tau - clean_estimate(w.x, w.v(), w.step)) / tau);
    }
    if (o_.critic.reference_beta > 0.0)
      loss.loss_B = loss.loss_B + o_.critic.reference_beta * velocity_kl(v, answer(teacher_, w, r));
    return loss;
  }

  StateLoss generator_loss(const WalkedStep& w) const {
    const auto clean = clean_estimate(w.x, t_.policy.velocity()(w.x, w.step, w.batch.conditioning), w.step);
    const auto r = renoised(t_, w, o_.tau, o_.critic.updates);
    const auto mu = [&](const Velocity& of) { return clean_estimate(r.x_tau, answer(of, w, r), r.step); };
    const auto mu_real = mu(guided_), mu_fake = mu(critic_.velocity());
    return {distribution_matching_loss(clean, mu_real, mu_fake, o_.huber),
            {{"matching_gap", (mu_real - mu_fake).abs().flatten(1).mean(1)}}};
  }

  static at::Tensor answer(const Velocity& velocity, const WalkedStep& w, const Renoised& r) {
    c10::NoGradGuard no_grad;
    return velocity(r.x_tau, r.step, w.batch.conditioning);
  }

  // Only the first optimizer step of an iteration may be given up.
  Update update(const std::vector<MicroBatch>& batches, int64_t i, const at::Tensor& used_B) {
    auto update = update_of(batches, o_.groups, i, used_B);
    update.index = steps_++;
    return update;
  }

  // Which samples count; their clean latents are watched, since a generator may leave the decoder's range
  // while its loss falls.
  at::Tensor said(const std::vector<MicroBatch>& batches, Metrics& metrics) const {
    auto used_B = finite(batches);
    std::vector<at::Tensor> clean;
    for (const auto& batch : batches) clean.push_back(batch.trajectory.x0_BCFHW.flatten(1).cpu());
    const auto rows = at::cat(clean).to(at::kDouble).index({used_B});
    metrics.emplace_back("clean_deviation", rows.numel() > 1 ? rows.std().item<double>() : 0.0);
    return used_B;
  }

  const Options o_;
  Training& t_;
  Role& critic_;
  const Velocity teacher_, guided_;
  int64_t steps_ = 0;  // of all roles, in this iteration
};

class Tdm final : public MethodOf<Tdm, TdmRun, Options> {
 public:
  bool few_step() const override { return true; }
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    f.number({"guidance_scale", "of the teacher, which is the job's reference"}, o_.guidance_scale, 0.0,
             100.0);
    f.number({"huber", "errors above it count linearly; 0: squares"}, o_.huber, 0.0, 1.0);
    f.object({"tau", "levels at which the two distributions are compared"},
             [this](Fields& t) { thalweg::describe(t, o_.tau); });
    f.object(
        {"regression", "how the generator starts: as the steps of the teacher's trajectories"},
        [this](Fields& r) {
          r.integer({"iterations", "of the job's, the first; 0: none, the model walks K steps already"},
                    o_.regression.iterations, 0, 1000000);
          r.integer({"parts", "steps of the teacher for one of the generator"}, o_.regression.parts, 1, 1000);
          r.integer({"passes", "over each batch of trajectories"}, o_.regression.passes, 1, 1000);
          r.number({"learning_rate", "at the first iteration, from where it falls to 0"},
                   o_.regression.learning_rate, 0.0, 1.0);
        });
    f.object({"critic", "the role that learns the generator's distribution"}, [this](Fields& c) {
      c.integer({"updates", "of it for one of the generator"}, o_.critic.updates, 1, 100);
      c.integer({"alone", "iterations in which it learns before the generator moves"}, o_.critic.alone, 0,
                100000);
      c.choice({"target", "the velocity to the clean estimate, or along the path between the states"},
               o_.critic.target, {"clean", "path"});
      c.number(
          {"reference_beta", "weight of its squared velocity difference to the teacher without guidance"},
          o_.critic.reference_beta, 0.0, 1e3);
      c.object({"optimizer", "its own"}, [this](Fields& g) { thalweg::describe(g, o_.critic.optimizer); });
    });
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    const auto& sampler = options.sampler;
    if (sampler.kind.name() != "flow_ode")
      throw Error("/sampler/name", "must be \"flow_ode\": the steps of a few-step generator draw no noise");
    if (sampler.guidance().scale > 1.0)
      throw Error("/sampler/guidance_scale",
                  "must be 1: a few-step generator learns the teacher's guidance, /method/guidance_scale");
    if (o_.regression.iterations > options.iterations)
      throw Error("/method/regression/iterations",
                  "must be at most /iterations, " + std::to_string(options.iterations));
  }
};

}  // namespace

std::unique_ptr<Method> make_tdm() {
  return std::make_unique<Tdm>();
}

}  // namespace thalweg
