#include "samplers/kernels/ode.h"

namespace thalweg {

Kernel ode() {
  return euler;
}

}  // namespace thalweg
