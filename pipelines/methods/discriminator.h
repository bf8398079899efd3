// The discriminator of DMD2 (arXiv 2405.14867, section 4.4): a small head on the critic's features of a
// noised picture tells real ones from the generator's, so that the generator learns from more than its
// teacher.
//   critic and head  w_c (softplus(D(fake)) + softplus(-D(real))),
//   generator        w_g softplus(-D(x)).
// The features are the tokens after the transformer's middle block (the paper's are those of a UNet's
// bottleneck); the head is a layer norm and two linear layers a token, and D the mean over tokens. A network
// without blocks is judged by its velocity.
#pragma once

#include "pipelines/methods/few_step.h"

namespace thalweg {

struct DiscriminatorOptions {
  bool present = false;
  std::string data = "teacher";  // or "pictures"
  PictureSource pictures;
  int64_t parts = 7, width = 128;
  double weight = 1e-2, generator_weight = 5e-3;
  OptimizerSection optimizer;
};
/// "discriminator".
void describe(Fields& fields, DiscriminatorOptions& options);
void check(const DiscriminatorOptions& options);
/// Its real pictures where they are files, named by the lines of /prompts/train; else none.
PictureSource pictures_of(const DiscriminatorOptions& options);

/// What a network answers, and its features with a gradient where the answer has one, [B,L,D].
struct Heard {
  at::Tensor v, tokens;
};
Heard heard(const Velocity& velocity, const at::Tensor& x, const Step& step,
            const Conditioning& conditioning);

class Discriminator {
 public:
  /// Adds the role "discriminator": the head alone.
  Discriminator(const DiscriminatorOptions& options, Training& training);

  Role& head() { return head_; }
  double rate(int64_t iteration) const { return head_.rate_at(iteration, t_.options.iterations); }
  /// The real samples of an iteration, of the prompts of its `walks`; `guided`: the teacher.
  void draw(const Walks& walks, int64_t iteration, const GroupPlan& plan, const Velocity& guided);
  /// Of critic and head, [B]: `fake` is what the critic has just made of `renoised`, a noised clean latent.
  at::Tensor critic_loss(const Heard& fake, const Velocity& critic, const Renoised& renoised,
                         const WalkedStep& walked) const;
  /// Of the generator, [B], whose clean estimate x has its gradient.
  at::Tensor generator_loss(const at::Tensor& x, const Velocity& critic, const Renoised& renoised) const;

 private:
  at::Tensor logit(const at::Tensor& tokens_BLD) const;

  const DiscriminatorOptions o_;
  Training& t_;
  Role& head_;
  at::Tensor real_BCFHW_;  // of this iteration
};

}  // namespace thalweg
