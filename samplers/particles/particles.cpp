#include "samplers/particles/particles.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "samplers/particles/weights.h"

namespace thalweg {

Particles::Particles(const SamplerInput& input, const ParticleOptions& options)
    : options_(options),
      seed_(input.seed),
      slot_B_(input.slot_B),
      resampling_(resampling_named(options.resampling)) {
  const auto batch = static_cast<int64_t>(input.slot_B.size()), n = options.particles;
  TORCH_CHECK(n > 0 && batch % n == 0, batch, " samples are no groups of ", n, " particles");
  log_weights_GN_ = at::zeros({batch / n, n}, at::kDouble);
  scored_GN_ = at::ones({batch / n, n}, at::kBool);
  ancestors_GN_ = at::arange(n, at::kLong).repeat({batch / n, 1});
  log_evidence_G_ = at::zeros({batch / n}, at::kDouble);
}

void Particles::weigh(const at::Tensor& log_factor_B) {
  const auto factor = log_factor_B.view_as(log_weights_GN_);
  const auto scored = factor.isfinite();
  log_weights_GN_ = at::where(scored, log_weights_GN_ + factor, log_weights_GN_);
  scored_GN_ = at::logical_and(scored_GN_, scored);
}

void Particles::close_step() {
  unscored_.push_back(at::logical_not(scored_GN_).sum(1));
  scored_GN_ = at::ones_like(scored_GN_);
}

at::Tensor Particles::resample(int64_t step) {
  const int64_t groups = log_weights_GN_.size(0), n = options_.particles;
  const auto ess = effective_sample_size(log_weights_GN_);
  auto survivors = at::ones({groups}, at::kDouble);
  const auto chosen = at::nonzero(ess < options_.ess_threshold * static_cast<double>(n)).flatten();
  at::Tensor rows;
  if (chosen.numel() > 0) {
    const auto log_weights = log_weights_GN_.index_select(0, chosen);
    const auto weights = relative_weights(log_weights).contiguous();
    log_evidence_G_.index_add_(0, chosen, log_mean_exp(log_weights));
    log_weights_GN_.index_fill_(0, chosen, 0.0);
    for (int64_t k = 0; k < chosen.numel(); ++k) {
      const auto g = chosen.const_data_ptr<int64_t>()[k];
      const auto* w = weights.const_data_ptr<double>() + k * n;
      const auto offspring = resampling_({w, w + n}, [&](int64_t p) {
        const auto slot = static_cast<uint64_t>(slot_B_[static_cast<size_t>(g * n + p)]);
        return random_uniform(seed_, Purpose::resampling, slot, static_cast<uint64_t>(step));
      });
      const auto dead = std::count(offspring.begin(), offspring.end(), 0);
      if (dead == 0) continue;
      survivors[g] = static_cast<double>(n - dead) / static_cast<double>(n);
      const auto from = at::tensor(ancestors_of(offspring), at::kLong);
      ancestors_GN_[g] = ancestors_GN_[g].index_select(0, from);
      if (!rows.defined()) rows = at::arange(groups * n, at::kLong);
      rows.slice(0, g * n, (g + 1) * n) = from + g * n;
    }
  }
  ess_.push_back(ess);
  survivors_.push_back(survivors);
  close_step();
  return rows;
}

ParticleRecord Particles::finish(const at::Tensor& log_factor_B, const at::Tensor& rewards_B) {
  weigh(log_factor_B);
  const auto scored = log_factor_B.view_as(log_weights_GN_).isfinite();
  const auto of_scored = at::where(scored, log_weights_GN_, -INFINITY);
  const auto log_weights = at::where(scored.any(1, true), of_scored, log_weights_GN_);
  // Over the particles with a score: log(0/0) where there are none.
  const auto log_mean_G = at::logsumexp(of_scored, 1) - scored.sum(1, false, at::kDouble).log();
  ess_.push_back(effective_sample_size(log_weights));
  survivors_.push_back(at::ones_like(log_evidence_G_));
  close_step();
  ParticleRecord record;
  record.particles = options_.particles;
  record.log_weights_B = log_weights.flatten();
  record.ancestors_B = ancestors_GN_.flatten();
  record.ess_TG = at::stack(ess_);
  record.survivors_TG = at::stack(survivors_);
  record.unscored_TG = at::stack(unscored_);
  record.log_evidence_G = log_evidence_G_ + log_mean_G;
  record.rewards_B = rewards_B;
  return record;
}

at::Tensor gathered(const at::Tensor& x, const at::Tensor& rows) {
  return rows.defined() ? x.index_select(0, rows.to(x.device())) : x;
}

}  // namespace thalweg
