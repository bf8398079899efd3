#include "pipelines/methods/tau.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/noise_levels.h"
#include "engine/core/rng.h"
#include "pipelines/methods/noise_levels.h"

namespace thalweg {
namespace {

// Before the shift.
struct Range {
  double low, high;
};

Range range_of(const TauOptions& o, double t, double s) {
  const double high = o.range == "separate" ? std::min(t, o.maximum) : o.maximum;
  return {shifted(s, 1.0 / o.shift) + o.margin, shifted(high, 1.0 / o.shift)};
}

}  // namespace

void describe(Fields& f, TauOptions& o) {
  f.choice(
      {"range",
       "levels that a step's state is noised again to: from its own up to /method/tau/maximum (reverse), "
       "or up to that of the step before (separate)"},
      o.range, {"reverse", "separate"});
  f.number({"margin", "least distance from the state's own level, before the shift"}, o.margin, 1e-4, 0.5);
  f.number({"maximum", "highest level"}, o.maximum, 0.01, 1.0);
  f.number({"shift", "levels are uniform before this shift of the schedule; 1: none"}, o.shift, 0.01, 100.0);
}

void check_tau(const TauOptions& o, const Schedule& schedule) {
  require_last_step(schedule, o.margin);
  for (int64_t k = 0; k < schedule.steps(); ++k) {
    const double t = schedule.sigmas[static_cast<size_t>(k)], s = schedule.sigmas[static_cast<size_t>(k) + 1];
    if (const auto [low, high] = range_of(o, t, s); !(low < high))
      throw Error("/method/tau/margin", "leaves no level for step " + std::to_string(k) + ", which ends at " +
                                            std::to_string(s) + ": lower it, or raise /method/tau/maximum");
  }
}

at::Tensor drawn_tau(const Training& t, const TauOptions& o, const std::vector<int64_t>& slot_B,
                     const std::vector<int64_t>& k_B, uint64_t index, double minimum) {
  const auto& sigmas = t.schedule.sigmas;
  auto tau_B = at::empty({static_cast<int64_t>(slot_B.size())}, at::kDouble);
  for (size_t b = 0; b < slot_B.size(); ++b) {
    const auto k = static_cast<size_t>(k_B[b]);
    const auto [low, high] = range_of(o, sigmas[k], sigmas[k + 1]);
    const double from = std::min(std::max(low, shifted(minimum, 1.0 / o.shift)), high);
    const double u =
        random_uniform(t.seed(), Purpose::training_sigma, static_cast<uint64_t>(slot_B[b]), index);
    tau_B[static_cast<int64_t>(b)] = shifted(from + (high - from) * u, o.shift);
  }
  return tau_B;
}

}  // namespace thalweg
