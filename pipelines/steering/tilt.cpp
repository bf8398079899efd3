#include "pipelines/steering/keys.h"
#include "pipelines/steering/methods.h"
#include "samplers/guidance/dps.h"
#include "samplers/guidance/flow_nrg.h"
#include "samplers/guidance/mpgd.h"

namespace thalweg {
namespace {

void describe(Fields& f, TiltOptions& o) {
  f.number({"lambda",
            "strength, as of p(x) e^(lambda reward): that law itself with a soft value for the reward, an "
            "approximation otherwise; 0: none"},
           o.lambda, 0.0, 1e6);
  describe_window(f, "steps that are guided", o.window_begin, o.window_size);
  f.number({"max_sigma", "noise level above which nothing is guided: the pull grows as sigma/(1-sigma)"},
           o.max_sigma, 0.0, 1.0);
}

void check(const SteeringEntry& e, int64_t steps) {
  check_window(e.tilt.window_begin, e.tilt.window_size, steps, e.pointer + "/window");
}

// A guidance whose keys are those of every tilt.
SteeringRow tilt_row(const char* name, const char* doc, SteeringNeeds (*needs)(const SteeringEntry&),
                     Guidance (*make)(const SteeringEntry&, const RewardValue&, uint64_t)) {
  return {name,    doc,    [](Fields& f, SteeringEntry& e) { describe(f, e.tilt); }, check, needs, make,
          nullptr, nullptr};
}

}  // namespace

SteeringRow flow_nrg_row(const char* name, const char* doc) {
  return tilt_row(
      name, doc,
      [](const SteeringEntry&) { return SteeringNeeds{.reward_gradient = true, .noisy_latents = true}; },
      [](const SteeringEntry& e, const RewardValue& reward, uint64_t) { return flow_nrg(reward, e.tilt); });
}

SteeringRow dps_row(const char* name, const char* doc) {
  return tilt_row(
      name, doc, [](const SteeringEntry&) { return SteeringNeeds{.reward_gradient = true}; },
      [](const SteeringEntry& e, const RewardValue& reward, uint64_t) { return dps(reward, e.tilt); });
}

SteeringRow mpgd_row(const char* name, const char* doc) {
  return tilt_row(
      name, doc, [](const SteeringEntry&) { return SteeringNeeds{.reward_gradient = true}; },
      [](const SteeringEntry& e, const RewardValue& reward, uint64_t) { return mpgd(reward, e.tilt); });
}

SteeringRow spsa_row(const char* name, const char* doc) {
  auto row = tilt_row(
      name, doc, [](const SteeringEntry&) { return SteeringNeeds{}; },
      [](const SteeringEntry& e, const RewardValue& reward, uint64_t seed) {
        return spsa(reward, e.tilt, e.spsa, seed);
      });
  row.describe = [](Fields& f, SteeringEntry& e) {
    describe(f, e.tilt);
    describe_probes(f, e.spsa);
  };
  return row;
}

}  // namespace thalweg
