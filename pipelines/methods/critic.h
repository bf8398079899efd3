// The critic of few-step generators: a role that learns, at states noised again, what distribution the
// generator draws (the fake score of DMD2 and TDM).
#pragma once

#include "pipelines/methods/few_step.h"

namespace thalweg {

struct CriticOptions {
  int64_t updates = 1, alone = 10, states = 0;
  std::string target = "clean";  // or "path"
  double reference_beta = 0.0;
  OptimizerSection optimizer = {};
};
void describe(Fields& fields, CriticOptions& options);
/// Throws Error at /method/critic/alone where the generator, which begins after so many iterations, would
/// never move.
void check_critic(const CriticOptions& options, int64_t before, const TrainingOptions& job);

class Critic {
 public:
  /// Adds the role "critic", which starts as the policy. `teacher`: without guidance.
  Critic(const CriticOptions& options, const TauOptions& tau, Velocity teacher, Training& training);

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
  Role& role_;
};

}  // namespace thalweg
