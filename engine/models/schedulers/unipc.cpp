#include "engine/models/schedulers/unipc.h"

#include "engine/core/error.h"
#include "engine/core/noise_levels.h"
#include "engine/weights/config.h"

namespace thalweg {

UniPc parse_unipc(const Json& config, const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& key, const std::string& message) {
    throw Error(path.string(), "\"" + key + "\" " + message);
  };
  if (!config_bool(config, "use_flow_sigmas", false, path))
    refuse("use_flow_sigmas", "must be true: other noise levels than a flow's are not supported");
  if (config_text(config, "prediction_type", "epsilon", path) != "flow_prediction")
    refuse("prediction_type", "must be \"flow_prediction\"");
  for (const char* key :
       {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_dynamic_shifting"})
    if (config_bool(config, key, false, path)) refuse(key, "is not supported; set it to false");
  if (config_text(config, "final_sigmas_type", "zero", path) != "zero")
    refuse("final_sigmas_type", "must be \"zero\"");
  UniPc s;
  s.flow_shift = config_number(config, "flow_shift", s.flow_shift, 1e-3, 1e3, path);
  s.num_train_timesteps =
      config_integer(config, "num_train_timesteps", s.num_train_timesteps, 2, 1000000, path);
  if (config.contains("shift_terminal") && !config.at("shift_terminal").is_null())
    s.shift_terminal = config_number(config, "shift_terminal", 0.0, 0.0, 1.0 - 1e-6, path);
  return s;
}

Schedule unipc_schedule(const UniPc& s, int64_t steps) {
  const double low = 1.0 / static_cast<double>(s.num_train_timesteps);
  auto schedule = schedule_between(steps, [&](int64_t i) {
    return shifted(1.0 + (low - 1.0) * static_cast<double>(i) / static_cast<double>(steps), s.flow_shift);
  });
  if (s.shift_terminal.value_or(0.0) > 0.0 && steps > 1) {
    const auto last = static_cast<size_t>(steps) - 1;
    const double factor = (1.0 - *s.shift_terminal) / (1.0 - schedule.sigmas[last]);
    for (size_t i = 1; i <= last; ++i) schedule.sigmas[i] = 1.0 - (1.0 - schedule.sigmas[i]) * factor;
  }
  return schedule;
}

}  // namespace thalweg
