#include "samplers/candidates/record.h"

#include <ATen/ATen.h>

#include <utility>

namespace thalweg {

void CandidateRecord::add_choice(at::Tensor ess_B, double survivors, at::Tensor unscored_B) {
  survivors_.push_back(at::full_like(ess_B, survivors));
  ess_.push_back(std::move(ess_B));
  unscored_.push_back(std::move(unscored_B));
}

void CandidateRecord::add_own_step(int64_t batch) {
  add_choice(at::ones({batch}, at::kDouble), 1.0, at::zeros({batch}, at::kLong));
}

ParticleRecord CandidateRecord::finished() const {
  ParticleRecord record;
  record.ess_TG = at::stack(ess_);
  record.survivors_TG = at::stack(survivors_);
  record.unscored_TG = at::stack(unscored_);
  record.log_weights_B = at::zeros_like(ess_.back());
  record.ancestors_B = at::zeros_like(unscored_.back());
  return record;
}

}  // namespace thalweg
