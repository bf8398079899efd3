#include "pipelines/steering/methods.h"
#include "samplers/particles/select.h"

namespace thalweg {
namespace {

void describe(Fields& f, BestOfNOptions& o) {
  f.integer({"particles", "samples drawn for one that is asked for; 1 is the sampler alone"}, o.particles, 1,
            1024);
  f.choice({"returned", "which of them are handed back"}, o.selection, {"best", "all"});
}

}  // namespace

SteeringRow best_of_n_row(const char* name, const char* doc) {
  return {
      name,
      doc,
      [](Fields& f, SteeringEntry& e) { describe(f, e.best_of_n); },
      [](const SteeringEntry&, int64_t) {},
      [](const SteeringEntry&) { return SteeringNeeds{.kernel = true}; },
      nullptr,
      [](const SteeringEntry& e, const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) {
        return selected(sample_best_of_n(in, kernel, reward, e.best_of_n), in,
                        selection_named(e.best_of_n.selection));
      },
      [](const SteeringEntry& e) { return e.best_of_n.particles; }};
}

}  // namespace thalweg
