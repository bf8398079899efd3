// What distillations of a teacher into a generator of K steps share, whatever they match: who takes part, a
// start by regression, and critic and generator learning in turn on the generator's own trajectories.
#pragma once

#include "pipelines/methods/critic.h"
#include "pipelines/methods/method.h"
#include "pipelines/methods/teacher.h"

namespace thalweg {

/// A generator that starts as the teacher cannot walk K steps at all, so the first iterations may match the
/// teacher's own trajectories, of finer steps (progressive distillation, Salimans & Ho 2022, arXiv
/// 2202.00512, in one stage). The critic starts where that ends: guidance is in it already.
struct RegressionOptions {
  int64_t iterations = 0, parts = 3, passes = 3;
  double learning_rate = 3e-4;
};

struct DistillationOptions {
  GroupPlan groups{.groups = 24, .group_size = 1, .updates = 1};
  std::string teacher;
  double guidance_scale = 4.5;
  int64_t states = 0;
  TauOptions tau;
  RegressionOptions regression;
  CriticOptions critic;
};
/// "teacher", "guidance_scale", "states", "regression".
void describe(Fields& fields, DistillationOptions& options);
void check(const DistillationOptions& options, const TrainingOptions& job);
/// Iterations before the policy's first update.
int64_t waits(const DistillationOptions& options);

/// A method of few steps whose options begin with these; see MethodOf.
template <typename Derived, typename Run, typename Options>
class DistillationOf : public MethodOf<Derived, Run, Options> {
 public:
  bool few_step() const override { return true; }
  double guidance_scale() const override { return this->o_.guidance_scale; }
  int64_t waits() const override { return thalweg::waits(this->o_); }
  std::string teacher() const override { return this->o_.teacher; }
};

/// Of all samples of a rollout; undefined: each counts, and as much as the others.
struct SampleWeights {
  at::Tensor weight_B, used_B;
};

class Distillation {
 public:
  /// `seen`: what the critic learns of each step of a trajectory; none: the step. `discriminator`: on it.
  Distillation(const DistillationOptions& options, Training& training, SeenStep seen = {},
               Discriminator* discriminator = nullptr);

  /// An iteration of the start, if this is one.
  bool start(int64_t iteration, Metrics& metrics);
  /// Whether the critic no longer learns alone.
  bool generator_learns(int64_t iteration) const;
  /// The generator's trajectories, not scored.
  Walks draw(int64_t iteration, Metrics& metrics) const;
  using GeneratorLoss = std::function<StateLoss(const WalkedStep&, int64_t draw)>;
  /// For each of the plan's updates the critic, on all samples, then the generator, by the weights.
  void learn(Walks& walks, const SampleWeights& weights, const GeneratorLoss& loss, int64_t iteration,
             Metrics& metrics);

  const Velocity& guided() const { return guided_; }  // the teacher
  Velocity critic() const { return critic_.velocity(); }
  /// Of the generator's step, with its gradient.
  at::Tensor clean(const WalkedStep& walked) const;
  /// Draws it to where the guided teacher's estimate at a noised state differs from the critic's.
  StateLoss matching(const at::Tensor& clean, const Renoised& renoised, double huber) const;

 private:
  Walks draw(int64_t iteration, const Velocity& velocity, int64_t parts, Metrics& metrics) const;
  void regress(int64_t iteration, Metrics& metrics);

  const DistillationOptions o_;
  Training& t_;
  const Velocity teacher_, guided_;
  Critic critic_;
};

}  // namespace thalweg
