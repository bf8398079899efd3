#include "pipelines/align/align_plan.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>

#include "engine/core/ceil_div.h"
#include "engine/core/clock.h"
#include "engine/weights/safetensors.h"
#include "pipelines/align/align_load.h"
#include "pipelines/align/context.h"
#include "pipelines/models.h"
#include "pipelines/plan/measure.h"
#include "pipelines/plan/scratch.h"

namespace thalweg {
namespace {

// The same job with about two micro-batches a worker in each iteration. Whole updates where they are small
// enough, so that the micro-batches are cut as in the job itself.
AlignOptions smaller(const AlignOptions& o) {
  AlignOptions little = o;
  auto& plan = little.method->groups();
  const int64_t enough = 2 * o.parallel.worker_count() * o.parallel.micro_batch;
  const int64_t per_update = std::max<int64_t>(plan.groups / plan.updates, 1);
  const int64_t updates = ceil_div(enough, per_update * plan.group_size);
  if (updates < plan.updates) {
    plan.updates = updates;
    plan.groups = updates * per_update;
  }
  if (plan.updates == 1) plan.groups = std::min(plan.groups, ceil_div(enough, plan.group_size));
  return little;
}

PlanPhase timed(const char* name, const std::function<void()>& work) {
  const double wall = wall_seconds(), cpu = process_seconds();
  work();
  return {name, wall_seconds() - wall, process_seconds() - cpu};
}

// Two iterations, the first to warm up, and an evaluation of as many pictures.
class AlignRehearsal {
 public:
  AlignRehearsal(const AlignOptions& o, const JobLoad& load) : o_(o), load_(load), little_(smaller(o)) {}

  const AlignOptions& options() const { return little_; }

  std::vector<PlanPhase> run() {
    std::optional<AlignContext> made;
    phases_.push_back(timed(kLoadAndEncode, [&] { made.emplace(little_, observer_); }));
    auto& c = *made;
    c.method->iterate(0);
    const auto warm = c.timings();
    c.method->iterate(1);
    add_iterations(warm, c.timings());
    add_evaluation(c);
    add_checkpoints(c);
    return phases_;
  }

 private:
  void add_iterations(const std::vector<PhaseTiming>& before, const std::vector<PhaseTiming>& after) {
    const double iterations = static_cast<double>(o_.iterations);
    const auto &all = o_.method->groups(), &few = little_.method->groups();
    const double samples =
        iterations * static_cast<double>(all.samples()) / static_cast<double>(few.samples());
    // The window of the second iteration against those of all.
    const double rollout =
        samples * load_.draws[0].cost.network_evaluations / count_iteration(o_, 1).forwards_of_rollout;
    const double updates = iterations * static_cast<double>(all.updates) / static_cast<double>(few.updates);
    for (const auto& now : after) {
      if (now.phase == "evaluation") continue;
      const auto then = std::find_if(before.begin(), before.end(),
                                     [&](const PhaseTiming& t) { return t.phase == now.phase; });
      if (then == before.end()) continue;
      const double times = now.phase == "optimizer" ? updates : now.phase == "rollout" ? rollout : samples;
      phases_.push_back({now.phase, times * (now.wall - then->wall), times * (now.cpu - then->cpu)});
    }
  }

  void add_evaluation(AlignContext& c) {
    const auto count =
        std::min<int64_t>(2 * c.workers->count() * o_.parallel.micro_batch, c.training.prompts.size());
    PromptSet some;
    some.list.prompts.assign(c.training.prompts.list.prompts.begin(),
                             c.training.prompts.list.prompts.begin() + count);
    some.list.metadata_json.assign(c.training.prompts.list.metadata_json.begin(),
                                   c.training.prompts.list.metadata_json.begin() + count);
    some.conditioning = c.training.prompts.conditioning.slice(0, count);
    evaluate(c.evaluation_input(some, 0), c.training.policy.velocity());
    // Pictures, each by what the network has to do for it; the first evaluation is of the job's own scale.
    const auto& draws = load_.draws;
    double units = 0.0;
    for (const auto& draw : draws)
      if (draw.phase == "evaluation")
        units += draw.samples * draw.cost.network_evaluations / draws[1].cost.network_evaluations;
    for (const auto& timing : c.timings())
      if (timing.phase == "evaluation") {
        const double times = units / static_cast<double>(count);
        phases_.push_back({timing.phase, times * timing.wall, times * timing.cpu});
      }
  }

  void add_checkpoints(const AlignContext& c) {
    const ScratchFolder scratch("thalweg-plan");
    auto phase = timed("checkpoint", [&] {
      write_safetensors(scratch.path() / "policy.safetensors", c.training.policy.parameters());
    });
    const double times = parameter_sets(load_) * std::ceil(static_cast<double>(o_.iterations) /
                                                           static_cast<double>(o_.checkpoint.every));
    phases_.push_back({phase.name, times * phase.wall_s, times * phase.cpu_s});
  }

  const AlignOptions& o_;
  const JobLoad& load_;
  AlignOptions little_;
  Observer observer_;
  std::vector<PlanPhase> phases_;
};

}  // namespace

Plan plan_align(const AlignOptions& o, const PlanRequest& request) {
  const auto load = align_load(o);
  AlignRehearsal rehearsal(o, load);
  auto little = align_load(rehearsal.options());
  const auto pictures = static_cast<double>(2 * o.parallel.worker_count() * o.parallel.micro_batch);
  little.iterations = 2;
  little.kept_pictures = 0.0;
  little.best = false;
  little.prompts = little.encoded = prompts_in(o.prompts.to_train());
  little.draws.resize(2);
  little.draws[1] = draw_load("evaluation", pictures, little.draws[1].settings, o.parallel.micro_batch);
  return make_plan("align", load, model_size(o.model, o.sampler.size, "/sampler"), request,
                   {little, [&] { return rehearsal.run(); }});
}

}  // namespace thalweg
