// The critic of few-step generators: a role that learns, at states noised again, what distribution the
// generator draws (the fake score of DMD2 and TDM).
#pragma once

#include "pipelines/methods/discriminator.h"

namespace thalweg {

struct CriticOptions {
  int64_t updates = 1, alone = 10, states = 0;
  std::string target = "clean";  // or "path"
  double reference_beta = 0.0;
  OptimizerSection optimizer = {};
};
void describe(Fields& fields, CriticOptions& options);
/// The same without "target": of who learns clean latents, to which both are one.
void describe_of_clean(Fields& fields, CriticOptions& options);
/// Throws Error at /method/critic/alone where the generator, which begins after so many iterations, would
/// never move.
void check_critic(const CriticOptions& options, int64_t before, const TrainingOptions& job);

/// A step of a trajectory as the critic learns it.
using SeenStep = std::function<WalkedStep(const WalkedStep&)>;

class Critic {
 public:
  /// Adds the role "critic", which starts as the policy. `teacher`: without guidance. `seen`: none: the step.
  /// `discriminator`: whose head is on it, and learns with it; none: has none.
  Critic(const CriticOptions& options, const TauOptions& tau, Velocity teacher, Training& training,
         SeenStep seen = {}, Discriminator* discriminator = nullptr);

  Velocity velocity() const { return role_.velocity(); }
  /// It becomes the policy as it is.
  void start_over() { role_.follow(t_.policy, 0.0); }
  /// All updates of it for the plan's update `i`; `of_iteration`: such calls in an iteration.
  void learn(Walks& walks, int64_t i, int64_t iteration, int64_t of_iteration, Metrics& metrics);

 private:
  StateLoss loss(const WalkedStep& walked, int64_t draw) const;

  const CriticOptions o_;
  const TauOptions tau_;
  const Velocity teacher_;
  Training& t_;
  const SeenStep seen_;
  Discriminator* const discriminator_;
  Role& role_;
};

}  // namespace thalweg
