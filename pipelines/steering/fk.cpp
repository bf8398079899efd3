#include "pipelines/steering/keys.h"
#include "pipelines/steering/methods.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

void describe(Fields& f, FkOptions& o) {
  describe_lambda(f, o.lambda);
  f.choice(
      {"potential",
       "of the rewards of a lineage: their change (diff), the highest (max), their sum (add), the latest "
       "(rt), none before the end (is); the final weights are those of e^(lambda reward) with each"},
      o.potential, potential_names());
  describe_value(f, o.value);
  f.integer({"interval", "steps from one scoring to the next"}, o.interval, 1, 1000);
  describe_window(f, "steps before which particles may be scored and resampled", o.window_begin,
                  o.window_size);
  describe_particles(f, o.particles);
}

}  // namespace

SteeringRow fk_row(const char* name, const char* doc) {
  return {
      name,
      doc,
      [](Fields& f, SteeringEntry& e) { describe(f, e.fk); },
      [](const SteeringEntry& e, int64_t steps) {
        check_window(e.fk.window_begin, e.fk.window_size, steps, e.pointer + "/window");
      },
      [](const SteeringEntry& e) {
        return SteeringNeeds{.noisy_latents = e.fk.value == "noisy_latents", .kernel = true, .noise = true};
      },
      nullptr,
      [](const SteeringEntry& e, const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) {
        return selected(sample_fk(in, kernel, reward, e.fk), in, selection_named(e.fk.particles.selection));
      },
      [](const SteeringEntry& e) { return e.fk.particles.particles; }};
}

}  // namespace thalweg
