// What a method of the transition loop, or of its trees, is held against: where the KL term stands, how
// strong it is, and when the policy as it is becomes the new reference.
#pragma once

#include <optional>

#include "pipelines/methods/replay.h"

namespace thalweg {

struct ReferenceOptions {
  std::string kl_in = "loss";       // or "reward"
  double target = 0.0, rate = 0.1;  // of the KL; 0: beta is constant
  int64_t reset_every = 0;          // iterations; 0: never
  double reset_above = 0.0;         // KL; 0: never
  bool resets() const { return reset_every > 0 || reset_above > 0.0; }
};

/// "kl_in", and what follows.
void describe(Fields& fields, ReferenceOptions& options);
/// "kl_target", "reference_reset": for methods whose KL is in the loss.
void describe_of_loss(Fields& fields, ReferenceOptions& options);
/// Throws Error for keys that would do nothing, since /method/kl_beta is 0.
void check_reference(const ReferenceOptions& options, double kl_beta);

/// The KL term of a run.
class ReferenceKl {
 public:
  /// Adds the role "reference" where it is to be reset.
  ReferenceKl(const ReferenceOptions& options, double kl_beta, Training& training);

  double beta() const { return beta_; }
  bool in_reward() const { return o_.kl_in == "reward" && beta_ > 0.0; }
  /// Without guidance.
  Velocity velocity() const;

  /// Before a rollout. The policy becomes the reference where the last iteration's KL was above the bound or
  /// the reference has been there for long enough (GARDO's rule, arXiv 2512.24138).
  void begin(Metrics& metrics);
  /// One more reward of each sample, -(log p - log p_ref) of its steps with weight beta, so that any
  /// aggregation takes it as it takes the others; its expectation is -KL.
  void add_reward(Transitions& drawn, const std::string& kl_scale, Metrics& metrics) const;
  /// After an iteration. Proportional control (Ziegler et al. 2019, arXiv 1909.08593, section 2.2): beta <-
  /// beta (1 + rate clip(KL / target - 1, -0.2, 0.2)).
  void end(Metrics& metrics);

  void state(RunState& state);

 private:
  const ReferenceOptions o_;
  Training& t_;
  Role* role_ = nullptr;
  double beta_, kl_ = 0.0;
  int64_t resets_ = 0, age_ = 0;
};

}  // namespace thalweg
