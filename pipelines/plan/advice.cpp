#include "pipelines/plan/advice.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

namespace thalweg {

void plan_advice(const JobLoad& load, const ModelSize& size, double program_bytes, double offset,
                 Plan& plan) {
  plan.advice.clear();
  const auto consider = [&](const char* setting, std::string from, std::string to,
                            const std::function<void(JobLoad&)>& change) {
    JobLoad other = load;
    change(other);
    Plan changed;
    plan_memory(other, size, program_bytes, changed);
    const double peak = changed.peak_bytes + offset;
    if (peak < 0.97 * plan.peak_bytes) plan.advice.push_back({setting, std::move(from), std::move(to), peak});
  };
  const auto halved = [&](const char* setting, int64_t value,
                          const std::function<void(JobLoad&, int64_t)>& set) {
    if (value > 1)
      consider(setting, std::to_string(value), std::to_string(value / 2),
               [&](JobLoad& l) { set(l, value / 2); });
  };
  halved("/parallel/micro_batch", load.parallel.micro_batch, [](JobLoad& l, int64_t v) { l.cut(v); });
  halved("/parallel/workers", load.parallel.worker_count(load.device),
         [](JobLoad& l, int64_t v) { l.parallel.workers = v; });
  if (load.iterations > 0) {
    halved("/parallel/lanes", load.parallel.lanes, [](JobLoad& l, int64_t v) { l.parallel.lanes = v; });
    if (!load.model.has_lora)
      consider("/model/lora", "absent", "{\"rank\": 32}", [](JobLoad& l) { l.model.has_lora = true; });
    const auto averaged = [](const RoleCount& role) { return role.averaged; };
    if (std::any_of(load.roles.begin(), load.roles.end(), averaged))
      consider("/ema_decay", "above 0", "0", [](JobLoad& l) {
        for (auto& role : l.roles) role.averaged = false;
      });
  }
  if (load.model.dtype == "float32")
    consider("/model/dtype", "float32", "bfloat16", [](JobLoad& l) { l.model.dtype = "bfloat16"; });
  if (load.model.vae_dtype == "float32")
    consider("/model/vae_dtype", "float32", "bfloat16", [](JobLoad& l) { l.model.vae_dtype = "bfloat16"; });
  std::stable_sort(plan.advice.begin(), plan.advice.end(),
                   [](const PlanAdvice& a, const PlanAdvice& b) { return a.peak_bytes < b.peak_bytes; });
}

}  // namespace thalweg
