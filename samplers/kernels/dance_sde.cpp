#include "samplers/kernels/dance_sde.h"

namespace thalweg {

Kernel dance_sde(double eta) {
  return [eta](const Schedule& schedule, int64_t index) { return reverse_sde(schedule, index, eta); };
}

}  // namespace thalweg
