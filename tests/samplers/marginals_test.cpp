// T3: every kernel that keeps the marginals samples the data law, the better the more steps it takes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "samplers/kernels/dance_sde.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/kernels/memoryless.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

// 200,000 samples: elements of a latent are drawn apart.
double distance(const Kernel& kernel, int64_t steps) {
  const auto in = laboratory_input(reference_mixture(), uniform_schedule(steps), 200, 11, {1, 1, 10, 100});
  return w1(sample_transitions(in, kernel).x0_BCFHW, reference_mixture());
}

struct Named {
  const char* name;
  Kernel kernel;
};

const std::vector<Named>& kernels() {
  static const std::vector<Named> all = {{"ode", ode()},
                                         {"flow_sde 0.3", flow_sde(0.3)},
                                         {"flow_sde 0.7", flow_sde(0.7)},
                                         {"flow_sde sqrt 2", flow_sde(std::sqrt(2.0))},
                                         {"dance_sde 0.3", dance_sde(0.3)},
                                         {"dance_sde 1", dance_sde(1.0)},
                                         {"memoryless", memoryless()}};
  return all;
}

TEST(Marginals, OfEveryKernelAreThoseOfTheOde) {
  for (const auto& [name, kernel] : kernels()) {
    const double few = distance(kernel, 20), many = distance(kernel, 500);
    std::printf("%-16s W1 %.4f, at 20 steps %.4f\n", name, many, few);
    EXPECT_LT(many, 0.012) << name;
    EXPECT_LT(many, few) << name;
  }
}

}  // namespace
}  // namespace thalweg
