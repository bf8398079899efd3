#include "engine/models/schedulers/flow_match_euler.h"

#include <boost/math/special_functions/beta.hpp>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/noise_levels.h"
#include "engine/models/sd3/sd3_schedule.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

using Path = std::filesystem::path;
using Spacing = FlowMatchEuler::Spacing;

std::optional<double> number_or_none(const Json& config, const char* key, double low, double high,
                                     const Path& path) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  return config_number(config, key, low, low, high, path);
}

Spacing parse_spacing(const Json& config, const Path& path) {
  auto spacing = Spacing::uniform;
  for (const auto& [key, value] : {std::pair{"use_karras_sigmas", Spacing::karras},
                                   {"use_exponential_sigmas", Spacing::exponential},
                                   {"use_beta_sigmas", Spacing::beta}}) {
    if (!config_bool(config, key, false, path)) continue;
    if (spacing != Spacing::uniform)
      throw Error(path.string(),
                  "only one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas may be true");
    spacing = value;
  }
  return spacing;
}

void parse_few_steps(const Json& config, FlowMatchEuler& s, const Path& path) {
  constexpr int64_t kMost = 1000;
  const auto there = [&](const char* key) { return config.contains(key) && !config.at(key).is_null(); };
  if (there(kFewSteps)) s.few_steps = config_integer(config, kFewSteps, 1, 1, kMost, path);
  if (!there(kFewSigmas)) return;
  const auto fail = [&](const std::string& what) {
    throw Error(path.string(), "\"" + std::string(kFewSigmas) + "\" " + what);
  };
  if (s.few_steps == 0) fail("has no meaning without " + std::string(kFewSteps));
  s.few_sigmas = config_numbers(config, kFewSigmas, 1e-6, 1.0, kMost, path);
  const auto& sigmas = s.few_sigmas;
  if (static_cast<int64_t>(sigmas.size()) != s.few_steps)
    fail("must have " + std::to_string(s.few_steps) + " levels, as many as " + kFewSteps + " says, not " +
         std::to_string(sigmas.size()));
  if (sigmas.front() != 1.0) fail("must begin with 1, pure noise");
  for (size_t i = 1; i < sigmas.size(); ++i)
    if (!(sigmas[i] < sigmas[i - 1])) fail("must fall from level to level");
}

/// The shift k for a picture: calculate_shift() of diffusers' pipelines.
double dynamic_shift(const FlowMatchEuler& s, int64_t tokens, const Path& path) {
  const double slope = (s.max_shift - s.base_shift) / static_cast<double>(s.max_tokens - s.base_tokens);
  const double mu = s.base_shift + slope * static_cast<double>(tokens - s.base_tokens);
  const double shift = s.linear ? mu : std::exp(mu);
  if (!(shift > 0.0) || !std::isfinite(shift))
    throw Error(path.string(), "gives a picture of " + std::to_string(tokens) + " tokens the shift " +
                                   Json(shift).dump() +
                                   ", which must be above 0; mend base_shift and max_shift");
  return shift;
}

/// The uniform grid from 1 to `low`, shifted once.
Schedule once_shifted(int64_t steps, double low, double shift) {
  return schedule_between(steps, [&](int64_t i) {
    const double u = static_cast<double>(i) / static_cast<double>(steps - 1);
    return shifted(1.0 + (low - 1.0) * u, shift);
  });
}

/// stretch_shift_to_terminal() of diffusers: 1 stays, the last level before 0 becomes `terminal`.
void stretch(Schedule& schedule, double terminal) {
  const auto steps = static_cast<size_t>(schedule.steps());
  const double factor = (1.0 - terminal) / (1.0 - schedule.sigmas[steps - 1]);
  for (size_t i = 1; i < steps; ++i) schedule.sigmas[i] = 1.0 - (1.0 - schedule.sigmas[i]) * factor;
}

/// Level number i of n from `high` to `low`.
double spaced(Spacing spacing, double high, double low, int64_t i, int64_t n) {
  constexpr double kRho = 7.0, kBeta = 0.6;  // diffusers'
  if (i == 0) return high;
  if (i == n - 1) return low;
  const double u = static_cast<double>(i) / static_cast<double>(n - 1);
  if (spacing == Spacing::karras) {
    const double from = std::pow(high, 1.0 / kRho), to = std::pow(low, 1.0 / kRho);
    return std::pow(from + u * (to - from), kRho);
  }
  if (spacing == Spacing::exponential) return std::exp(std::log(high) + u * (std::log(low) - std::log(high)));
  return low + boost::math::ibeta_inv(kBeta, kBeta, 1.0 - u) * (high - low);
}

}  // namespace

FlowMatchEuler parse_flow_match_euler(const Json& config, const Path& path) {
  for (const char* key : {"invert_sigmas", "stochastic_sampling"})
    if (config_bool(config, key, false, path))
      throw Error(path.string(), std::string("\"") + key + "\" is not supported; set it to false");
  const auto type = config_text(config, "time_shift_type", "exponential", path);
  if (type != "exponential" && type != "linear")
    throw Error(path.string(), "\"time_shift_type\" must be \"exponential\" or \"linear\"");
  FlowMatchEuler s;
  s.shift = config_number(config, "shift", s.shift, 1e-3, 1e3, path);
  s.num_train_timesteps =
      config_integer(config, "num_train_timesteps", s.num_train_timesteps, 1, 1000000, path);
  s.dynamic = config_bool(config, "use_dynamic_shifting", false, path);
  s.linear = type == "linear";
  s.base_shift = config_number(config, "base_shift", s.base_shift, -100.0, 100.0, path);
  s.max_shift = config_number(config, "max_shift", s.max_shift, -100.0, 100.0, path);
  s.base_tokens = config_integer(config, "base_image_seq_len", s.base_tokens, 1, 1 << 24, path);
  s.max_tokens = config_integer(config, "max_image_seq_len", s.max_tokens, 1, 1 << 24, path);
  if (s.dynamic && s.base_tokens == s.max_tokens)
    throw Error(path.string(), "\"max_image_seq_len\" must differ from base_image_seq_len");
  s.shift_terminal = number_or_none(config, "shift_terminal", 0.0, 1.0 - 1e-6, path);
  s.spacing = parse_spacing(config, path);
  s.sigma_min = number_or_none(config, "sigma_min", 1e-6, 1.0, path);
  s.sigma_max = number_or_none(config, "sigma_max", 1e-6, 1.0, path);
  parse_few_steps(config, s, path);
  return s;
}

Schedule flow_match_schedule(const FlowMatchEuler& s, int64_t steps, int64_t tokens, const Path& path,
                             FlowGrid grid) {
  if (steps == s.few_steps && !s.few_sigmas.empty())
    return schedule_between(steps, [&](int64_t i) { return s.few_sigmas[static_cast<size_t>(i)]; });
  const auto last = grid == FlowGrid::even ? steps : s.num_train_timesteps;
  auto schedule = !s.dynamic && grid == FlowGrid::training
                      ? sd3_schedule(steps, s.shift, s.num_train_timesteps)
                      : once_shifted(steps, 1.0 / static_cast<double>(last),
                                     s.dynamic ? dynamic_shift(s, tokens, path) : s.shift);
  if (s.shift_terminal.value_or(0.0) > 0.0 && steps > 1) stretch(schedule, *s.shift_terminal);
  if (s.spacing == Spacing::uniform) return schedule;
  const double high = s.sigma_max.value_or(schedule.sigmas.front()),
               low = s.sigma_min.value_or(schedule.sigmas[static_cast<size_t>(steps) - 1]);
  if (!(low <= high)) throw Error(path.string(), "\"sigma_min\" must not be above sigma_max");
  for (int64_t i = 0; i < steps; ++i)
    schedule.sigmas[static_cast<size_t>(i)] = spaced(s.spacing, high, low, i, steps);
  return schedule;
}

}  // namespace thalweg
