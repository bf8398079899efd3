// TempFlow-GRPO (He et al. 2025, arXiv 2508.04324): the ODE's path from a start noise; at each of some steps
// K states part from it by one step of the SDE and end by the ODE, so that a step has rewards and advantages
// of its own. The loss of a step is weighed by the noise that it draws (equation 7), 1 on the average.
#include <algorithm>

#include "engine/core/error.h"
#include "pipelines/methods/tree.h"

namespace thalweg {
namespace {

struct Options {
  TreeOptions tree{.groups = {8, 36, 2},
                   .advantages = {.norm = {.deviation = DeviationOver::group}},
                   .replay = {},
                   .clip_range = 1e-4};
  int64_t branches = 4, start_noises = 1;
  bool seed_groups = true;

  int64_t branched_steps() const { return tree.groups.group_size / (branches * start_noises); }
  TreeRules rules(const Training& training, int64_t iteration) const;
};

// The first trained steps of the window, as many as a group has branches for.
std::vector<int64_t> branched(const Options& o, const SamplerSection& sampler, StepWindow window) {
  auto steps = trained_steps(window, sampler.steps);
  steps.resize(std::min(steps.size(), static_cast<size_t>(o.branched_steps())));
  return steps;
}

// Norm(sigma_t sqrt(dt)): a step's noise over the mean of all branched steps.
std::function<double(int64_t)> noise_weight(const Training& t, const std::vector<int64_t>& steps) {
  const auto kernel = kernel_of(t.options.sampler, {0, t.options.sampler.steps});
  double mean = 0.0;
  for (const int64_t step : steps) mean += kernel(t.schedule, step).std / static_cast<double>(steps.size());
  return [kernel, mean, schedule = t.schedule](int64_t step) { return kernel(schedule, step).std / mean; };
}

TreeRules Options::rules(const Training& t, int64_t iteration) const {
  const auto& sampler = t.options.sampler;
  const auto steps = branched(*this, sampler, step_window(sampler, t.seed(), iteration));
  return {.shape = branched_path(sampler.steps, steps, branches),
          .trained = steps,
          .compared = [seeds = seed_groups, steps = sampler.steps](
                          const TreeEdge& e) { return (seeds ? e.root : e.group) * steps + e.step; },
          .weight = noise_weight(t, steps)};
}

class TempFlowGrpo final : public TreeMethodOf<TempFlowGrpo, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.tree);
    f.integer({"branches",
               "K: states that part from a path at each branched step. Branched are the first "
               "group_size / (branches x start_noises) trained steps of the sampler's window"},
              o_.branches, 2, 4096);
    f.integer({"start_noises", "paths of a group"}, o_.start_noises, 1, 4096);
    f.boolean({"seed_groups", "compare the branches of one path alone; else those of all paths of a group"},
              o_.seed_groups);
  }

  void check(const TrainingOptions& options) const override {
    const auto& sampler = options.sampler;
    check_tree(o_.tree, sampler, "tempflow_grpo");
    const auto of_step = o_.branches * o_.start_noises;
    if (o_.tree.groups.group_size % of_step != 0)
      throw Error("/method/group_size", "must be a multiple of /method/branches x /method/start_noises, " +
                                            std::to_string(of_step) +
                                            ": so many samples for each branched step");
    // A window that moves has one trained step less at its last place.
    auto window = step_window(sampler, 0, 0);
    if (sampler.window_policy != "fixed")
      window = {sampler.steps - (window.end - window.begin), sampler.steps};
    const auto trained = static_cast<int64_t>(trained_steps(window, sampler.steps).size());
    if (o_.branched_steps() > trained)
      throw Error("/method/group_size", "has branches for " + std::to_string(o_.branched_steps()) +
                                            " steps, and the window trains " + std::to_string(trained) +
                                            "; at most " + std::to_string(trained * of_step));
  }
};

}  // namespace

std::unique_ptr<Method> make_tempflow_grpo() {
  return std::make_unique<TempFlowGrpo>();
}

}  // namespace thalweg
