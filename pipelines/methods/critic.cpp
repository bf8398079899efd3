#include "pipelines/methods/critic.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/core/error.h"
#include "engine/losses/distribution_matching.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "samplers/flow_algebra.h"

namespace thalweg {

void describe_of_clean(Fields& f, CriticOptions& o) {
  f.integer({"updates", "of it for one of the generator"}, o.updates, 1, 100);
  f.integer({"alone", "iterations in which it learns before the generator moves"}, o.alone, 0, 100000);
  f.integer({"states", "of each trajectory that one update learns from, at random; 0: all"}, o.states, 0,
            1000);
  f.number({"reference_beta", "weight of its squared velocity difference to the teacher without guidance"},
           o.reference_beta, 0.0, 1e3);
  f.object({"optimizer", "its own"}, [&](Fields& g) { thalweg::describe(g, o.optimizer); });
}

void describe(Fields& f, CriticOptions& o) {
  describe_of_clean(f, o);
  f.choice({"target", "the velocity to the clean estimate, or along the path between the states"}, o.target,
           {"clean", "path"});
}

void check_critic(const CriticOptions& o, int64_t before, const TrainingOptions& job) {
  if (before + o.alone >= job.iterations)
    throw Error("/method/critic/alone",
                "leaves the generator no iteration of /iterations, " + std::to_string(job.iterations));
}

Critic::Critic(const CriticOptions& options, const TauOptions& tau, Velocity teacher, Training& training,
               SeenStep seen, Discriminator* discriminator)
    : o_(options),
      tau_(tau),
      teacher_(std::move(teacher)),
      t_(training),
      seen_(std::move(seen)),
      discriminator_(discriminator),
      role_(training.roles.add("critic", training.space, leaves(cloned(training.policy.parameters())),
                               Learning{options.optimizer, 0.0})) {}

void Critic::learn(Walks& walks, int64_t i, int64_t iteration, int64_t of_iteration, Metrics& metrics) {
  const double rate = role_.rate_at(iteration, t_.options.iterations);
  for (int64_t j = 0; j < o_.updates; ++j) {
    WalkedLoss learnt{"critic_loss", o_.states, j, [this, j](const WalkedStep& w) { return loss(w, j); }};
    if (discriminator_) {
      learnt.also = &discriminator_->head();
      learnt.also_rate = discriminator_->rate(iteration);
    }
    train_on_walked(t_, role_, walks.update(i), learnt, rate, o_.updates * of_iteration, metrics);
  }
}

StateLoss Critic::loss(const WalkedStep& walked, int64_t draw) const {
  const auto w = seen_ ? seen_(walked) : walked;
  const auto r = renoised(t_, w, tau_, draw);
  const auto answer = heard(role_.velocity(), r.x_tau, r.step, r.conditioning);
  const auto& v = answer.v;
  const auto &tau_B = r.step.sigma_B, &s_B = w.step.next_sigma_B;
  StateLoss loss;
  if (o_.target == "path") {
    // Divided by its own size: it has no bound as tau nears s.
    const auto be_B = conditional_path(tau_B, s_B).be_B;
    loss.loss_B =
        be_B.square() * velocity_kl(v, conditional_velocity(w.next, r.noise, tau_B, s_B)).to(at::kDouble);
  } else {
    loss.loss_B = velocity_kl(v, (r.x_tau - clean_estimate(w.x, w.v(), w.step)) / per_sample(tau_B, v));
  }
  if (o_.reference_beta > 0.0)
    loss.loss_B = loss.loss_B + o_.reference_beta * velocity_kl(v, r.velocity(teacher_));
  if (discriminator_) {
    const auto told_B = discriminator_->critic_loss(answer, role_.velocity(), r, w);
    loss.loss_B = loss.loss_B + told_B;
    loss.measures.push_back({"discriminator_loss", told_B.detach()});
  }
  return loss;
}

}  // namespace thalweg
