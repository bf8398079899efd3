#include "pipelines/methods/reference_kl.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/statistics.h"
#include "engine/optim/gradients.h"

namespace thalweg {
namespace {

constexpr const char* kInLoss = "kl_loss";
constexpr const char* kInReward = "kl";

}  // namespace

void describe(Fields& f, ReferenceOptions& o) {
  f.choice({"kl_in",
            "where it counts: a term of the loss, or one more reward of each sample of weight kl_beta, log "
            "p_ref - log p"},
           o.kl_in, {"loss", "reward"});
  describe_of_loss(f, o);
}

void describe_of_loss(Fields& f, ReferenceOptions& o) {
  f.object({"kl_target", "kl_beta follows the KL: more when it is above, less when it is below"},
           [&](Fields& k) {
             k.number({"kl", "wanted, in the scale of kl_scale; 0: kl_beta is constant"}, o.target, 0.0, 1e6);
             k.number({"rate", "change an iteration, at most a fifth of it"}, o.rate, 1e-3, 5.0);
           });
  f.object({"reference_reset", "the policy as it is becomes the reference (GARDO)"}, [&](Fields& r) {
    r.integer({"every", "iterations; 0: never"}, o.reset_every, 0, 1000000);
    r.number({"above", "when the KL of an iteration was above this; 0: never"}, o.reset_above, 0.0, 1e6);
  });
}

void check_reference(const ReferenceOptions& o, double kl_beta) {
  if (kl_beta > 0.0) return;
  const char* without =
      " has nothing to work on, since /method/kl_beta is 0; give that a start, or leave this out";
  if (o.target > 0.0) throw Error("/method/kl_target/kl", without);
  if (o.resets()) throw Error("/method/reference_reset", without);
}

ReferenceKl::ReferenceKl(const ReferenceOptions& options, double kl_beta, Training& training)
    : o_(options), t_(training), beta_(kl_beta) {
  if (o_.resets()) role_ = &t_.roles.add("reference", t_.space, cloned(t_.policy.parameters()));
}

// Until the first reset the space's own: the policy may start from another model than it is held against.
Velocity ReferenceKl::velocity() const {
  return resets_ > 0 ? role_->velocity() : t_.space.reference();
}

void ReferenceKl::begin(Metrics& metrics) {
  if (!o_.resets()) return;
  const bool far = o_.reset_above > 0.0 && kl_ > o_.reset_above;
  const bool old = o_.reset_every > 0 && age_ >= o_.reset_every;
  if (far || old) {
    role_->follow(t_.policy, 0.0);
    ++resets_;
    age_ = 0;
  }
  ++age_;
  metrics.emplace_back("reference_resets", static_cast<double>(resets_));
}

void ReferenceKl::add_reward(Transitions& drawn, const std::string& kl_scale, Metrics& metrics) const {
  auto& scores = drawn.scores;
  const auto valid_B = scores.total.valid_B;
  const auto [kl_B, log_ratio_B] = rollout_kl(t_, drawn, velocity(), kl_scale, valid_B);
  metrics.emplace_back(kInReward, masked_mean(kl_B, valid_B));
  const auto column = make_reward_batch({"reference/kl"}, at::where(valid_B, -log_ratio_B, NAN).unsqueeze(1));
  scores.raw = concatenate_columns({scores.raw, column});
  scores.transformed = concatenate_columns({scores.transformed, column});
  scores.weights_K.push_back(beta_);
  scores.total = weighted(scores.transformed, scores.weights_K);
}

void ReferenceKl::end(Metrics& metrics) {
  for (const auto& [name, value] : metrics)
    if ((name == kInLoss || name == kInReward) && std::isfinite(value)) kl_ = value;
  if (o_.target <= 0.0) return;
  metrics.emplace_back("kl_beta", beta_);
  constexpr double kMost = 0.2;
  beta_ *= 1.0 + o_.rate * std::clamp(kl_ / o_.target - 1.0, -kMost, kMost);
}

void ReferenceKl::state(RunState& state) {
  state.number("kl_beta", beta_);
  state.number("kl", kl_);
  state.integer("reference_resets", resets_);
  state.integer("reference_age", age_);
}

}  // namespace thalweg
