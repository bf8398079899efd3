#include "pipelines/steering/keys.h"
#include "pipelines/steering/methods.h"

namespace thalweg {
namespace {

void describe(Fields& f, SvddOptions& o) {
  f.integer({"candidates", "successors drawn in each step, of which one goes on; 1 is the sampler alone"},
            o.candidates, 1, 1024);
  f.number(
      {"temperature",
       "candidates are chosen by the softmax of value / temperature, so 1 / lambda; 0: the highest value"},
      o.temperature, 0.0, 1e6);
  describe_value(f, o.value);
  describe_window(f, "steps that choose", o.window_begin, o.window_size);
}

}  // namespace

SteeringRow svdd_row(const char* name, const char* doc) {
  return {
      name,
      doc,
      [](Fields& f, SteeringEntry& e) { describe(f, e.svdd); },
      [](const SteeringEntry& e, int64_t steps) {
        check_window(e.svdd.window_begin, e.svdd.window_size, steps, e.pointer + "/window");
      },
      [](const SteeringEntry& e) {
        return SteeringNeeds{.noisy_latents = e.svdd.value == "noisy_latents", .kernel = true, .noise = true};
      },
      nullptr,
      [](const SteeringEntry& e, const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) {
        return sample_svdd(in, kernel, reward, e.svdd);
      },
      nullptr};
}

}  // namespace thalweg
