#include "rewards/reward_batch.h"

#include <limits>
#include <stdexcept>
#include <utility>

namespace thalweg {

RewardBatch make_reward_batch(std::vector<std::string> names_K, const at::Tensor& values_BK) {
  if (values_BK.dim() != 2 || values_BK.size(1) != static_cast<int64_t>(names_K.size()))
    throw std::invalid_argument("reward values must be [B, K] with one name per column");
  const auto values = values_BK.to(at::kCPU, at::kDouble);
  const auto valid = values.isfinite();
  const auto nan = at::full({}, std::numeric_limits<double>::quiet_NaN(), values.options());
  return {std::move(names_K), at::where(valid, values, nan), valid, {}};
}

RewardBatch columns(const RewardBatch& batch, int64_t first, int64_t count) {
  if (first < 0 || count < 0 || first + count > batch.dimensions())
    throw std::invalid_argument("no such columns in the reward batch");
  const auto begin = batch.names_K.begin() + first;
  return {std::vector<std::string>(begin, begin + count),
          batch.values_BK.narrow(1, first, count).contiguous(),
          batch.valid_BK.narrow(1, first, count).contiguous(),
          {}};
}

RewardBatch concatenate_columns(const std::vector<RewardBatch>& parts) {
  if (parts.empty()) throw std::invalid_argument("no reward batches to join");
  RewardBatch joined;
  std::vector<at::Tensor> values, valid;
  for (const auto& part : parts) {
    joined.names_K.insert(joined.names_K.end(), part.names_K.begin(), part.names_K.end());
    values.push_back(part.values_BK);
    valid.push_back(part.valid_BK);
  }
  joined.values_BK = at::cat(values, 1);
  joined.valid_BK = at::cat(valid, 1);
  return joined;
}

RewardBatch concatenate_samples(const std::vector<RewardBatch>& parts) {
  if (parts.empty()) throw std::invalid_argument("no reward batches to join");
  std::vector<at::Tensor> values, valid;
  std::vector<RewardFailure> failures;
  for (const auto& part : parts) {
    if (part.names_K != parts.front().names_K)
      throw std::invalid_argument("reward batches of different rewards cannot be joined");
    values.push_back(part.values_BK);
    valid.push_back(part.valid_BK);
    add_failures(failures, part.failures);
  }
  return {parts.front().names_K, at::cat(values, 0), at::cat(valid, 0), std::move(failures)};
}

}  // namespace thalweg
