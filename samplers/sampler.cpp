#include "samplers/sampler.h"

#include <ATen/ATen.h>

namespace thalweg {

Step step_at(const Schedule& schedule, int64_t index, const std::vector<int64_t>& slot_B) {
  const auto batch = static_cast<int64_t>(slot_B.size());
  const auto i = static_cast<size_t>(index);
  return {at::full({batch}, schedule.sigmas.at(i), at::kDouble),
          at::full({batch}, schedule.sigmas.at(i + 1), at::kDouble), index, slot_B};
}

}  // namespace thalweg
