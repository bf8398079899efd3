#include "pipelines/training/options.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace thalweg {

double OptimizerSection::rate_at(int64_t iteration, int64_t iterations) const {
  const double u = static_cast<double>(iteration) / static_cast<double>(std::max<int64_t>(iterations, 1));
  double factor = 1.0;
  if (schedule == "linear") factor = 1.0 - u;
  if (schedule == "cosine") factor = 0.5 * (1.0 + std::cos(std::numbers::pi * u));
  if (iteration < warmup_iterations)
    factor *= static_cast<double>(iteration + 1) / static_cast<double>(warmup_iterations);
  return learning_rate * factor;
}

void describe(Fields& f, OptimizerSection& o) {
  f.choice({"name", "optimizer"}, o.name, {"adamw"});
  f.number({"learning_rate", "at its largest"}, o.learning_rate, 0.0, 1.0);
  f.choice({"schedule", "of the learning rate over the iterations"}, o.schedule,
           {"constant", "linear", "cosine"});
  f.integer({"warmup_iterations", "iterations of linear growth"}, o.warmup_iterations, 0, 1000000);
  f.number({"beta1", "decay of the first moment"}, o.beta1, 0.0, 1.0);
  f.number({"beta2", "decay of the second moment"}, o.beta2, 0.0, 1.0);
  f.number({"eps", "added to the root of the second moment"}, o.eps, 1e-16, 1.0);
  f.number({"weight_decay", "decoupled"}, o.weight_decay, 0.0, 10.0);
  f.number({"max_grad_norm", "gradient clipping: largest 2-norm of the whole gradient"}, o.max_grad_norm,
           1e-9, 1e9);
  f.number({"max_grad_value", "largest element of the gradient, cut before its norm is; 0: no bound"},
           o.max_grad_value, 0.0, 1e9);
  f.integer(
      {"max_skipped",
       "updates in a row that are skipped, since their gradient is not finite, before the run ends with "
       "an error; 0: any number"},
      o.max_skipped, 0, 1000000);
  f.boolean({"offload",
             "on a GPU: float32 parameters, moments and averages stay in the machine's own memory, where the "
             "optimizer steps; the GPU holds copies to compute with. Less of its memory, more time"},
            o.offload);
}

}  // namespace thalweg
