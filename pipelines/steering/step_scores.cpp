#include "pipelines/steering/step_scores.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace thalweg {

StepScores::Said& StepScores::at(const Step& step, int64_t row) {
  return said_[{step.index, step.slot_B.at(static_cast<size_t>(row))}];
}

const StepScores::Said* StepScores::find(int64_t index, int64_t slot) const {
  const auto it = said_.find({index, slot});
  return it == said_.end() ? nullptr : &it->second;
}

void StepScores::add(const Step& step, int64_t begin, const at::Tensor& value_B) {
  for (int64_t b = 0; b < value_B.size(0); ++b) {
    const double value = value_B[b].item<double>();
    auto& said = at(step, begin + b);
    said.sum += value;
    ++said.values;
    said.lost = said.lost || !std::isfinite(value);
  }
}

void StepScores::lose(const Step& step, int64_t begin, const at::Tensor& lost_B) {
  for (int64_t b = 0; b < lost_B.size(0); ++b)
    if (lost_B[b].item<bool>()) at(step, begin + b).lost = true;
}

double StepScores::mean(int64_t index, int64_t slot) const {
  const auto* said = find(index, slot);
  if (!said || !std::isfinite(said->sum) || said->values == 0)
    return std::numeric_limits<double>::quiet_NaN();
  return said->sum / static_cast<double>(said->values);
}

bool StepScores::lost(int64_t index, int64_t slot) const {
  const auto* said = find(index, slot);
  return said && said->lost;
}

}  // namespace thalweg
