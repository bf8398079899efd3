#include "pipelines/methods/distillation.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/core/error.h"
#include "engine/losses/distribution_matching.h"
#include "engine/losses/nft.h"
#include "samplers/flow_algebra.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {

void describe(Fields& f, DistillationOptions& o) {
  describe_teacher(f, o.teacher);
  f.number({"guidance_scale", "of the teacher"}, o.guidance_scale, 0.0, 100.0);
  f.integer({"states", "of each trajectory that the generator learns from in one update, at random; 0: all"},
            o.states, 0, 1000);
  f.object(
      {"regression", "how the generator starts: as the steps of the teacher's trajectories"}, [&](Fields& r) {
        r.integer({"iterations", "of the job's, the first; 0: none, the model walks K steps already"},
                  o.regression.iterations, 0, 1000000);
        r.integer({"parts", "steps of the teacher for one of the generator"}, o.regression.parts, 1, 1000);
        r.integer({"passes", "over each batch of trajectories"}, o.regression.passes, 1, 1000);
        r.number({"learning_rate", "at the first iteration, from where it falls to 0"},
                 o.regression.learning_rate, 0.0, 1.0);
      });
}

void check(const DistillationOptions& o, const TrainingOptions& job) {
  check_walks(job, o.groups);
  check_teacher(o.teacher, job);
  if (o.regression.iterations > job.iterations)
    throw Error("/method/regression/iterations",
                "must be at most /iterations, " + std::to_string(job.iterations));
  if (o.regression.iterations < job.iterations) check_critic(o.critic, o.regression.iterations, job);
}

int64_t waits(const DistillationOptions& o) {
  return o.regression.iterations > 0 ? 0 : o.critic.alone;
}

Distillation::Distillation(const DistillationOptions& options, Training& training, SeenStep seen,
                           Discriminator* discriminator)
    : o_(options),
      t_(training),
      teacher_(teacher_of(training, options.teacher).velocity),
      guided_(cfg(options.guidance_scale, training.unconditional)(teacher_)),
      critic_(options.critic, options.tau, teacher_, training, std::move(seen), discriminator) {}

Walks Distillation::draw(int64_t iteration, const Velocity& velocity, int64_t parts, Metrics& metrics) const {
  const auto sampler = [parts](const SamplerInput& in) { return walk(in, parts); };
  return {draw_unscored_groups(t_, iteration, o_.groups, velocity, sampler), o_.groups, metrics};
}

Walks Distillation::draw(int64_t iteration, Metrics& metrics) const {
  return draw(iteration, t_.policy.velocity(), 1, metrics);
}

bool Distillation::start(int64_t iteration, Metrics& metrics) {
  if (iteration >= o_.regression.iterations) return false;
  regress(iteration, metrics);
  if (iteration + 1 == o_.regression.iterations) critic_.start_over();
  return true;
}

// The generator's steps become the teacher's whole ones.
void Distillation::regress(int64_t iteration, Metrics& metrics) {
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

bool Distillation::generator_learns(int64_t iteration) const {
  return iteration >= o_.regression.iterations + o_.critic.alone;
}

void Distillation::learn(Walks& walks, const SampleWeights& weights, const GeneratorLoss& loss,
                         int64_t iteration, Metrics& metrics) {
  const auto updates = o_.groups.updates, draw = o_.critic.updates;
  const auto of = [&](const WalkedStep& w) { return loss(w, draw); };
  for (int64_t i = 0; i < updates; ++i) {
    critic_.learn(walks, i, iteration, updates, metrics);
    if (!generator_learns(iteration)) continue;
    train_on_walked(t_, t_.policy, walks.update(i, weights.used_B),
                    {"policy_loss", o_.states, draw, of, weights.weight_B},
                    t_.policy.rate_at(iteration, t_.options.iterations), updates, metrics);
  }
}

at::Tensor Distillation::clean(const WalkedStep& w) const {
  return clean_estimate(w.x, t_.policy.velocity()(w.x, w.step, w.batch.conditioning), w.step);
}

StateLoss Distillation::matching(const at::Tensor& clean, const Renoised& r, double huber) const {
  const auto mu_real = r.clean(guided_), mu_fake = r.clean(critic_.velocity());
  return {distribution_matching_loss(clean, mu_real, mu_fake, huber),
          {{"matching_gap", (mu_real - mu_fake).abs().flatten(1).mean(1)}}};
}

}  // namespace thalweg
