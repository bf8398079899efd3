#include "pipelines/learners/outcome_pool.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/rng.h"

namespace thalweg {

at::Tensor noised(const at::Tensor& x0_BCFHW, const at::Tensor& sigma_B, const at::Tensor& noise_BCFHW) {
  const auto t = sigma_B.to(x0_BCFHW).view({-1, 1, 1, 1, 1});
  return (1.0 - t) * x0_BCFHW + t * noise_BCFHW;
}

void OutcomePool::add(const Outcomes& o) {
  const auto x = o.state_NCFHW.defined() ? o.state_NCFHW : o.x0_NCFHW;
  const auto sigma = o.sigma_N.defined() ? o.sigma_N : at::zeros({x.size(0)}, at::kDouble);
  const int64_t kept =
      std::min(size(), (std::max<int64_t>(0, capacity_ - x.size(0)) / group_size_) * group_size_);
  const auto joined = [&](const at::Tensor& old, const at::Tensor& fresh) {
    return kept == 0 ? fresh : at::cat({old.slice(0, size() - kept), fresh});
  };
  x_NCFHW_ = joined(x_NCFHW_, x);
  sigma_N_ = joined(sigma_N_, sigma);
  reward_N_ = joined(reward_N_, o.reward_N);
  prompt_N_.erase(prompt_N_.begin(), prompt_N_.end() - kept);
  prompt_N_.insert(prompt_N_.end(), o.prompt_N.begin(), o.prompt_N.end());
}

at::Tensor OutcomePool::rewards() const {
  return reward_N_.masked_select(reward_N_.isfinite());
}

NoisedPairs OutcomePool::pairs(uint64_t seed, int64_t draw, int64_t pairs) const {
  std::vector<int64_t> rows, slots;
  std::vector<double> levels;
  const auto groups = static_cast<uint64_t>(size() / group_size_),
             members = static_cast<uint64_t>(group_size_);
  for (int64_t p = 0; p < pairs; ++p) {
    const int64_t slot = (draw * pairs + p) * 2;
    const auto at = static_cast<uint64_t>(slot);
    const auto group = random_bits(seed, Purpose::data, at, 0) % groups;
    const auto first = random_bits(seed, Purpose::data, at, 1) % members;
    const auto second = (first + 1 + random_bits(seed, Purpose::data, at, 2) % (members - 1)) % members;
    const double level = random_uniform(seed, Purpose::training_sigma, at, 0);
    for (const auto member : {first, second}) {
      rows.push_back(static_cast<int64_t>(group * members + member));
      slots.push_back(slot + static_cast<int64_t>(slots.size() % 2));
      levels.push_back(level);
    }
  }
  const auto index = at::tensor(rows, at::kLong);
  NoisedPairs result;
  const auto x = x_NCFHW_.index_select(0, index);
  const auto own_B = sigma_N_.index_select(0, index);
  const auto clean_B = own_B == 0.0;
  const auto noise = normal_noise(seed, Purpose::training_noise, slots, 0, x.sizes().slice(1));
  const auto level_B = at::tensor(levels, at::kDouble);
  result.sigma_B = at::where(clean_B, level_B, own_B);
  result.x_BCFHW = at::where(clean_B.view({-1, 1, 1, 1, 1}), noised(x, level_B, noise), x);
  result.reward_B = reward_N_.index_select(0, index);
  for (const auto row : rows) result.prompt_B.push_back(prompt_N_[static_cast<size_t>(row)]);
  return result;
}

void OutcomePool::state(RunState& state) {
  TensorMap pool;
  if (!state.reads() && size() > 0)
    pool = {{"x", x_NCFHW_},
            {"sigma", sigma_N_},
            {"reward", reward_N_},
            {"prompt", at::tensor(prompt_N_, at::kLong)}};
  state.tensors("pool", pool);
  if (!state.reads() || pool.empty()) return;
  x_NCFHW_ = pool.at("x").cpu();
  sigma_N_ = pool.at("sigma").cpu();
  reward_N_ = pool.at("reward").cpu();
  const auto prompts = pool.at("prompt").cpu();
  prompt_N_.assign(prompts.const_data_ptr<int64_t>(), prompts.const_data_ptr<int64_t>() + prompts.numel());
}

}  // namespace thalweg
