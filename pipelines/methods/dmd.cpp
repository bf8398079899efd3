#include "pipelines/methods/dmd.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/core/noise_levels.h"
#include "pipelines/methods/noise_levels.h"
#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

// As if the step had led to its clean estimate, which is then noised from level 0.
WalkedStep to_the_end(const WalkedStep& walked, const at::Tensor& clean, int64_t steps) {
  auto end = walked;
  end.next = clean;
  end.step.next_sigma_B = at::zeros_like(end.step.sigma_B);
  end.k_B.assign(walked.k_B.size(), steps - 1);
  return end;
}

void check_states(int64_t states, const char* pointer, const TrainingOptions& job) {
  if (states > job.sampler.steps)
    throw Error(pointer, "must be at most " + std::to_string(job.sampler.steps) +
                             ", the steps of /sampler/steps: a trajectory has no more states");
}

std::optional<Discriminator> discriminator_of(const DmdOptions& o, Training& training) {
  if (!o.discriminator.present) return std::nullopt;
  return std::optional<Discriminator>(std::in_place, o.discriminator, training);
}

}  // namespace

DmdOptions::DmdOptions() {
  states = critic.states = 1;
  critic.updates = 5;
}

void describe(Fields& f, DmdOptions& o) {
  describe(f, static_cast<DistillationOptions&>(o));
  f.object({"tau", "levels at which the two distributions are compared, and the critic learns"},
           [&](Fields& t) {
             t.number({"minimum", "lowest level, before the shift"}, o.tau.margin, 1e-4, 1.0);
             t.number({"maximum", "highest level"}, o.tau.maximum, 1e-4, 1.0);
             t.number({"shift", "levels are uniform before this shift of the schedule; 1: none"}, o.tau.shift,
                      0.01, 100.0);
           });
  f.object({"critic", "the role that learns the generator's distribution"}, [&](Fields& c) {
    describe_of_clean(c, o.critic);
    c.choice({"samples",
              "what it learns: the samples that trajectories end in, or the clean estimates of the "
              "steps that are drawn"},
             o.samples, {"final", "estimates"});
  });
  describe(f, o.discriminator);
}

void check(const DmdOptions& o, const TrainingOptions& job) {
  check(static_cast<const DistillationOptions&>(o), job);
  check_states(o.states, "/method/states", job);
  check_states(o.critic.states, "/method/critic/states", job);
  if (o.tau.margin >= shifted(o.tau.maximum, 1.0 / o.tau.shift))
    throw Error("/method/tau/minimum",
                "leaves no level below /method/tau/maximum, " + std::to_string(o.tau.maximum));
  if (o.critic.optimizer.learning_rate == 0.0)
    throw Error("/method/critic/optimizer/learning_rate",
                "must be above 0: a critic that does not learn says nothing of the generator");
  check(o.discriminator);
}

Dmd::Dmd(const DmdOptions& options, Training& training)
    : o_(options),
      t_(training),
      discriminator_(discriminator_of(options, training)),
      distillation_(
          options, training,
          [steps = training.schedule.steps(), final = options.samples == "final"](const auto& w) {
            return to_the_end(w, final ? w.last : clean_estimate(w.x, w.v(), w.step), steps);
          },
          discriminator_ ? &*discriminator_ : nullptr) {
  require_last_step(training.schedule, TauOptions().margin);
}

void Dmd::learn(Walks& walks, const SampleWeights& weights, int64_t iteration, Metrics& metrics) {
  if (discriminator_) discriminator_->draw(walks, iteration, o_.groups, distillation_.guided());
  distillation_.learn(
      walks, weights, [this](const WalkedStep& w, int64_t draw) { return generator_loss(w, draw); },
      iteration, metrics);
}

StateLoss Dmd::generator_loss(const WalkedStep& w, int64_t draw) const {
  const auto x = distillation_.clean(w);
  const auto end = to_the_end(w, x.detach(), t_.schedule.steps());
  const auto r = renoised(t_, end, o_.tau, draw);
  auto loss = distillation_.matching(x, r, 0.0);
  loss.loss_B = 0.5 * loss.loss_B;
  if (discriminator_)
    loss.loss_B = loss.loss_B + discriminator_->generator_loss(x, distillation_.critic(), r);
  return loss;
}

}  // namespace thalweg
