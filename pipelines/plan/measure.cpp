#include "pipelines/plan/measure.h"

#include <algorithm>

#include "engine/core/dtypes.h"
#include "pipelines/plan/advice.h"
#include "pipelines/plan/machine.h"

namespace thalweg {

namespace {

double disk_bytes(const JobLoad& load, const ModelSize& size) {
  if (load.iterations == 0) return 0.0;
  const double trainable = trainable_parameters(load, size);
  const auto stored = static_cast<double>(c10::elementSize(dtype_named(load.export_dtype)));
  double weights = trainable * stored;
  if (!load.model.has_lora) {
    weights += size.vae.stored_bytes;
    for (const auto& encoder : size.text_encoders) weights += encoder.stored_bytes;
  }
  return load.checkpoints * trainable * 4.0 * parameter_sets(load) + weights;
}

// Networks reach a larger share of the matrix product's speed in float32 than in 16 bit, which the shares of
// plan_time() were fitted to.
double rate_of(const std::string& dtype) {
  constexpr double kFloat32Share = 1.5;
  return matrix_product_rate(dtype_named(dtype)) * (dtype == "float32" ? kFloat32Share : 1.0);
}

// Of the whole run, corrected by running a little of it where that is wanted, or quick and fits. Returns what
// measuring added to the peak.
double plan_on_cpu(const JobLoad& load, const ModelSize& size, PlanMode mode, const Rehearsal& rehearsal,
                   double program, Plan& plan) {
  constexpr double kQuick = 20.0, kRoom = 0.8;
  const double rate = rate_of(load.model.dtype), vae_rate = rate_of(load.model.vae_dtype);
  Plan little;
  plan_time(load, size, rate, vae_rate, plan);
  plan_memory(rehearsal.load, size, program, little);
  plan_time(rehearsal.load, size, rate, vae_rate, little);
  const bool quick = little.total_s < kQuick && little.peak_bytes < kRoom * plan.available_bytes;
  if (mode == PlanMode::estimate || (mode == PlanMode::automatic && !quick)) return 0.0;
  plan.measured = true;
  plan.phases = rehearsal.run();
  const double offset = process_memory("VmHWM") - little.peak_bytes;
  plan.peak_bytes += offset;
  add_up(load, plan);
  return offset;
}

}  // namespace

Plan make_plan(const std::string& job, JobLoad load, const ModelSize& size, const PlanRequest& request,
               const Rehearsal& rehearsal) {
  load.device = request.device;
  const bool on_gpu = load.device.is_cuda();
  const double program = on_gpu ? 0.0 : process_memory("VmRSS");
  const auto available = on_gpu ? available_gpu_memory() : available_memory();
  Plan plan;
  plan.job = job;
  plan.available_bytes = available.bytes;
  plan.limit = available.limit;
  plan.draws = planned_draws(load);
  plan.disk_bytes = disk_bytes(load, size);
  plan_memory(load, size, program, plan);
  double offset = 0.0;
  if (on_gpu)
    plan.note =
        "memory of the GPU, without what CUDA itself takes (some hundred MB); nothing was measured, and "
        "time is not predicted";
  else
    offset = plan_on_cpu(load, size, request.mode, rehearsal, program, plan);
  plan_advice(load, size, program, offset, plan);
  return plan;
}

}  // namespace thalweg
