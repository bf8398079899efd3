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

#include "engine/core/error.h"
#include "engine/losses/distribution_matching.h"
#include "engine/losses/nft.h"
#include "pipelines/methods/critic.h"
#include "pipelines/methods/method.h"
#include "pipelines/methods/teacher.h"
#include "samplers/flow_algebra.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

struct Regression {
  int64_t iterations = 0, parts = 3, passes = 3;
  double learning_rate = 3e-4;
};

struct Options {
  GroupPlan groups{.groups = 24, .group_size = 1, .updates = 1};
  std::string teacher;
  double guidance_scale = 4.5, huber = 0.0;
  int64_t states = 0;
  TauOptions tau;
  Regression regression;
  CriticOptions critic;
};

class TdmRun final : public MethodRun {
 public:
  TdmRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        teacher_(teacher_of(training, options.teacher).velocity),
        guided_(cfg(options.guidance_scale, training.unconditional)(teacher_)),
        critic_(options.critic, options.tau, teacher_, training) {
    check_tau(o_.tau, training.schedule);
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    if (iteration < o_.regression.iterations) {
      regress(iteration, metrics);
      if (iteration + 1 == o_.regression.iterations) critic_.start_over();
    } else {
      match(iteration, metrics);
    }
    return metrics;
  }

  double stored_latents() const override { return Walks::stored_latents(t_.schedule); }

 private:
  Walks draw(int64_t iteration, const Velocity& velocity, int64_t parts, Metrics& metrics) const {
    const auto sampler = [parts](const SamplerInput& in) { return walk(in, parts); };
    return {draw_unscored_groups(t_, iteration, o_.groups, velocity, sampler), o_.groups, metrics};
  }

  // The generator's steps become the teacher's whole ones.
  void regress(int64_t iteration, Metrics& metrics) {
    const auto& r = o_.regression;
    auto walks = draw(iteration, guided_, r.parts, metrics);
    OptimizerSection falling;
    falling.schedule = "linear";
    falling.learning_rate = r.learning_rate;
    const double rate = falling.rate_at(iteration, r.iterations);
    const auto loss = [this](const WalkedStep& w) {
      return StateLoss{velocity_kl(t_.policy.velocity()(w.x, w.step, w.batch.conditioning), w.v())};
    };
    for (int64_t pass = 0; pass < r.passes; ++pass)
      for (int64_t i = 0; i < o_.groups.updates; ++i)
        train_on_walked(t_, t_.policy, walks.update(i), {"regression_loss", 0, 0, loss}, rate,
                        r.passes * o_.groups.updates, metrics);
  }

  void match(int64_t iteration, Metrics& metrics) {
    auto walks = draw(iteration, t_.policy.velocity(), 1, metrics);
    const auto updates = o_.groups.updates, draw = o_.critic.updates;
    for (int64_t i = 0; i < updates; ++i) {
      critic_.learn(walks, i, iteration, updates, metrics);
      if (iteration < o_.regression.iterations + o_.critic.alone) continue;
      train_on_walked(
          t_, t_.policy, walks.update(i),
          {"policy_loss", o_.states, draw, [&](const WalkedStep& w) { return generator_loss(w, draw); }},
          t_.policy.rate_at(iteration, t_.options.iterations), updates, metrics);
    }
  }

  StateLoss generator_loss(const WalkedStep& w, int64_t draw) const {
    const auto clean = clean_estimate(w.x, t_.policy.velocity()(w.x, w.step, w.batch.conditioning), w.step);
    const auto r = renoised(t_, w, o_.tau, draw);
    const auto mu_real = r.clean(guided_), mu_fake = r.clean(critic_.velocity());
    return {distribution_matching_loss(clean, mu_real, mu_fake, o_.huber),
            {{"matching_gap", (mu_real - mu_fake).abs().flatten(1).mean(1)}}};
  }

  const Options o_;
  Training& t_;
  const Velocity teacher_, guided_;
  Critic critic_;
};

class Tdm final : public MethodOf<Tdm, TdmRun, Options> {
 public:
  bool few_step() const override { return true; }
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    describe_teacher(f, o_.teacher);
    f.number({"guidance_scale", "of the teacher"}, o_.guidance_scale, 0.0, 100.0);
    f.number({"huber", "errors above it count linearly; 0: squares"}, o_.huber, 0.0, 1.0);
    f.integer(
        {"states", "of each trajectory that the generator learns from in one update, at random; 0: all"},
        o_.states, 0, 1000);
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
    f.object({"critic", "the role that learns the generator's distribution"},
             [this](Fields& c) { thalweg::describe(c, o_.critic); });
  }

  void check(const TrainingOptions& options) const override {
    check_walks(options, o_.groups);
    check_teacher(o_.teacher, options);
    if (o_.regression.iterations > options.iterations)
      throw Error("/method/regression/iterations",
                  "must be at most /iterations, " + std::to_string(options.iterations));
    if (o_.regression.iterations < options.iterations)
      check_critic(o_.critic, o_.regression.iterations, options);
  }

  int64_t waits() const override { return o_.regression.iterations > 0 ? 0 : o_.critic.alone; }

  std::string teacher() const override { return o_.teacher; }
};

}  // namespace

std::unique_ptr<Method> make_tdm() {
  return std::make_unique<Tdm>();
}

}  // namespace thalweg
