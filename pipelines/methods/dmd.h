// The loop of DMD2 (Yin et al. 2024, arXiv 2405.14867) for flow models, and of what weighs its samples. The
// generator walks its K steps without gradient (backward simulation); at a random one of them its clean
// estimate x is taken with gradient, noised to a level of its own, x_t, and drawn along mu_real - mu_fake
// there. The critic learns by flow matching, at all levels, the samples that trajectories end in.
//
// The paper's generator noises its estimate anew between steps; this one takes the ODE's steps, as what is
// exported is drawn with. Its loss is 0.5 mean (x - sg[x - grad])^2 with grad = (mu_fake - mu_real) /
// mean |x - mu_real| a sample: the gradient here is the same, the value larger by that mean. Where grad is
// not a number they take 0; here the update is skipped and counted. Their critic learns the estimates that
// the generator was trained on; here "estimates", of steps drawn anew, and not the default, since early
// steps' are no samples of what is drawn with the ODE.
#pragma once

#include "pipelines/methods/distillation.h"

namespace thalweg {

struct DmdOptions : DistillationOptions {
  DmdOptions();
  DiscriminatorOptions discriminator;
  std::string samples = "final";  // or "estimates": what the critic learns
};
/// All keys but those of the groups.
void describe(Fields& fields, DmdOptions& options);
void check(const DmdOptions& options, const TrainingOptions& job);

/// A method whose loop this is: what is left is to describe.
template <typename Derived, typename Run, typename Options>
class DmdOf : public DistillationOf<Derived, Run, Options> {
 public:
  void check(const TrainingOptions& options) const override { thalweg::check(this->o_, options); }
  PictureSource pictures() const override { return pictures_of(this->o_.discriminator); }
};

class Dmd {
 public:
  Dmd(const DmdOptions& options, Training& training);

  Distillation& distillation() { return distillation_; }
  /// Critic and generator, of an iteration that is none of the start.
  void learn(Walks& walks, const SampleWeights& weights, int64_t iteration, Metrics& metrics);

 private:
  StateLoss generator_loss(const WalkedStep& walked, int64_t draw) const;

  const DmdOptions o_;
  Training& t_;
  std::optional<Discriminator> discriminator_;
  Distillation distillation_;
};

}  // namespace thalweg
