#include "samplers/window.h"

namespace thalweg {

Kernel windowed(Kernel kernel, StepWindow window) {
  return [kernel = std::move(kernel), window](const Schedule& schedule, int64_t index) {
    return window.contains(index) ? kernel(schedule, index) : euler(schedule, index);
  };
}

}  // namespace thalweg
