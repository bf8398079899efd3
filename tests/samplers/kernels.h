// The kernels of samplers/kernels by name, for laws that hold for all of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "samplers/kernels/cps.h"
#include "samplers/kernels/dance_sde.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/kernels/memoryless.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "samplers/window.h"

namespace thalweg {

struct NamedFamily {
  std::string name;
  std::function<Kernel(double noise)> kernel;
  double noise;  // the default of jobs
  LogProb log_prob = gaussian;
};

/// Kernels that draw noise.
inline const std::vector<NamedFamily>& kernel_families() {
  static const std::vector<NamedFamily> families = {{"flow_sde", flow_sde, 0.7},
                                                    {"dance_sde", dance_sde, 0.3},
                                                    {"cps", cps, 0.8, squared_error},
                                                    {"cps_gaussian", cps, 0.8},
                                                    {"memoryless", memoryless, 1.0}};
  return families;
}

struct NamedKernel {
  std::string name;
  Kernel kernel;
};

/// Each at its usual noise.
inline std::vector<NamedKernel> noisy_kernels() {
  std::vector<NamedKernel> kernels;
  for (const auto& family : kernel_families()) kernels.push_back({family.name, family.kernel(family.noise)});
  return kernels;
}

}  // namespace thalweg
