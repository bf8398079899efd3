#include "pipelines/plan/measure.h"

#include <algorithm>

#include "engine/core/dtypes.h"
#include "pipelines/plan/machine.h"

namespace thalweg {

Plan make_plan(const std::string& job, const JobLoad& load, const ModelSize& size, PlanMode mode,
               const Rehearsal& rehearsal) {
  constexpr double kQuick = 20.0, kRoom = 0.8;
  const double rate = matrix_product_rate(dtype_named(load.model.dtype)),
               vae_rate = matrix_product_rate(dtype_named(load.model.vae_dtype)),
               program = process_memory("VmRSS");
  Plan plan, little;
  plan.job = job;
  const auto available = available_memory();
  plan.available_bytes = available.bytes;
  plan.limit = available.limit;
  plan.draws = planned_draws(load);
  plan_memory(load, size, program, plan);
  plan_time(load, size, rate, vae_rate, plan);
  plan_memory(rehearsal.load, size, program, little);
  plan_time(rehearsal.load, size, rate, vae_rate, little);
  const double trainable = trainable_parameters(load, size);
  plan.disk_bytes = load.checkpoints * trainable * 4.0 * (4.0 + load.average + load.old_policy) +
                    (load.iterations == 0  ? 0.0
                     : load.model.has_lora ? trainable * 4.0
                                           : size.backbone.stored_bytes + size.vae.stored_bytes);
  double offset = 0.0;
  const bool quick = little.total_s < kQuick && little.peak_bytes < kRoom * plan.available_bytes;
  if (mode == PlanMode::measure || (mode == PlanMode::automatic && quick)) {
    plan.measured = true;
    plan.phases = rehearsal.run();
    offset = process_memory("VmHWM") - little.peak_bytes;
    plan.peak_bytes += offset;
    plan.iteration_s = plan.total_s = plan.total_cpu_s = 0.0;
    for (const auto& phase : plan.phases) {
      plan.total_s += phase.wall_s;
      plan.total_cpu_s += phase.cpu_s;
      if (load.iterations > 0 && phase.name != "evaluation" && phase.name != "load and encode")
        plan.iteration_s += phase.wall_s / static_cast<double>(load.iterations);
    }
  }
  plan_advice(load, size, program, offset, plan);
  return plan;
}

}  // namespace thalweg
