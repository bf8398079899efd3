#include "samplers/sampler.h"

#include <ATen/ATen.h>

#include "samplers/kernel.h"

namespace thalweg {

Step step_at(const Schedule& schedule, int64_t index, const std::vector<int64_t>& slot_B, at::Device device) {
  const auto batch = static_cast<int64_t>(slot_B.size());
  const auto i = static_cast<size_t>(index);
  // full() hands the number to a kernel as its argument: nothing is copied to the device.
  const auto options = at::TensorOptions().dtype(at::kDouble).device(device);
  return {at::full({batch}, schedule.sigmas.at(i), options),
          at::full({batch}, schedule.sigmas.at(i + 1), options), index, slot_B, euler(schedule, index)};
}

}  // namespace thalweg
