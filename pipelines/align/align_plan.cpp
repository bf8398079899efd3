#include "pipelines/align/align_plan.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "engine/weights/safetensors.h"
#include "pipelines/align/method.h"
#include "pipelines/align/summary.h"
#include "pipelines/builtin.h"
#include "pipelines/plan/measure.h"

namespace thalweg {
namespace {

// What the methods have in common, in the options where they stand.
struct Groups {
  int64_t &prompts, &group_size, &updates;

  double samples() const { return static_cast<double>(prompts * group_size); }
};

Groups groups_of(AlignOptions& o) {
  if (o.method == "flow_grpo")
    return {o.flow_grpo.prompts_per_iteration, o.flow_grpo.group_size, o.flow_grpo.updates};
  return {o.diffusion_nft.prompts_per_iteration, o.diffusion_nft.group_size, o.diffusion_nft.updates};
}

double evaluations_of(const AlignOptions& o) {
  return static_cast<double>(1 + o.iterations / o.evaluate.every + (o.iterations % o.evaluate.every != 0));
}

double prompts_in(const std::string& path, const char* pointer) {
  return static_cast<double>(read_prompts(path, pointer).prompts.size());
}

// The same job with about two micro-batches a worker in each iteration. Whole updates where they are small
// enough, so that the micro-batches are cut as in the job itself.
AlignOptions smaller(const AlignOptions& o) {
  AlignOptions little = o;
  const auto groups = groups_of(little);
  const int64_t enough = 2 * o.parallel.worker_count() * o.parallel.micro_batch;
  const int64_t per_update = std::max<int64_t>(groups.prompts / groups.updates, 1);
  const int64_t updates = (enough + per_update * groups.group_size - 1) / (per_update * groups.group_size);
  if (updates < groups.updates) {
    groups.updates = updates;
    groups.prompts = updates * per_update;
  }
  if (groups.updates == 1)
    groups.prompts = std::min(groups.prompts, (enough + groups.group_size - 1) / groups.group_size);
  return little;
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

PlanPhase timed(const char* name, const std::function<void()>& work) {
  const auto start = Clock::now();
  const auto cpu = std::clock();
  work();
  return {name, seconds_since(start), static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC};
}

// Two iterations, the first to warm up, and an evaluation of as many pictures.
class AlignRehearsal {
 public:
  explicit AlignRehearsal(const AlignOptions& o) : o_(o), little_(smaller(o)) {}

  const AlignOptions& options() const { return little_; }

  std::vector<PlanPhase> run() {
    std::optional<AlignContext> made;
    std::unique_ptr<Method> method;
    phases_.push_back(timed("load and encode", [&] {
      made.emplace(little_, observer_);
      method = method_named(little_.method).make(*made);
    }));
    auto& c = *made;
    method->iterate(c, 0);
    const auto warm = phase_timings(c);
    method->iterate(c, 1);
    add_iterations(warm, phase_timings(c));
    add_evaluation(c);
    add_checkpoints(c, *method);
    return phases_;
  }

 private:
  void add_iterations(const std::vector<PhaseTiming>& before, const std::vector<PhaseTiming>& after) {
    AlignOptions whole = o_, little = little_;
    const double iterations = static_cast<double>(o_.iterations);
    const double samples = iterations * groups_of(whole).samples() / groups_of(little).samples();
    const double updates = iterations * static_cast<double>(groups_of(whole).updates) /
                           static_cast<double>(groups_of(little).updates);
    for (const auto& now : after) {
      if (now.phase == "evaluation") continue;
      const auto then = std::find_if(before.begin(), before.end(),
                                     [&](const PhaseTiming& t) { return t.phase == now.phase; });
      if (then == before.end()) continue;
      const double times = now.phase == "optimizer" ? updates : samples;
      phases_.push_back({now.phase, times * (now.wall - then->wall), times * (now.cpu - then->cpu)});
    }
  }

  void add_evaluation(AlignContext& c) {
    const auto count =
        std::min<int64_t>(2 * c.workers.count() * o_.parallel.micro_batch, c.prompts.train.size());
    PromptSet some;
    some.list.prompts.assign(c.prompts.train.list.prompts.begin(),
                             c.prompts.train.list.prompts.begin() + count);
    some.list.metadata_json.assign(c.prompts.train.list.metadata_json.begin(),
                                   c.prompts.train.list.metadata_json.begin() + count);
    some.conditioning = c.prompts.train.conditioning.slice(0, count);
    evaluate(evaluation_input(c, some, 0), c.space.bind(c.evaluated()));
    // Guidance doubles the calls of the backbone.
    double units = 0.0;
    const auto calls = [](double scale) { return scale == 1.0 ? 1.0 : 2.0; };
    for (const auto& draw : align_load(o_).draws)
      if (draw.phase == "evaluation")
        units += draw.pictures * calls(draw.guidance_scale) / calls(o_.evaluate.guidance_scale);
    for (const auto& timing : phase_timings(c))
      if (timing.phase == "evaluation") {
        const double times = units / static_cast<double>(count);
        phases_.push_back({timing.phase, times * timing.wall, times * timing.cpu});
      }
  }

  void add_checkpoints(const AlignContext& c, const Method& method) {
    const auto path = std::filesystem::temp_directory_path() / ("thalweg-plan-" + std::to_string(getpid()));
    auto phase = timed("checkpoint", [&] { write_safetensors(path, c.policy); });
    std::error_code ec;
    std::filesystem::remove(path, ec);
    // Policy, two moments and the best so far are of one size; an average and a method's state may come on
    // top.
    const double parts = 4.0 + (c.average.empty() ? 0.0 : 1.0) + (method.state().empty() ? 0.0 : 1.0);
    const double times =
        parts * std::ceil(static_cast<double>(o_.iterations) / static_cast<double>(o_.checkpoint.every));
    phases_.push_back({phase.name, times * phase.wall_s, times * phase.cpu_s});
  }

  AlignOptions o_, little_;
  Observer observer_;
  std::vector<PlanPhase> phases_;
};

}  // namespace

JobLoad align_load(const AlignOptions& options) {
  AlignOptions o = options;
  const auto groups = groups_of(o);
  const bool grpo = o.method == "flow_grpo";
  const double train = prompts_in(o.train_prompts, "/prompts/train"),
               select = prompts_in(o.select_prompts, "/prompts/select"),
               eval = prompts_in(o.eval_prompts, "/prompts/eval");
  const auto steps = static_cast<double>(o.evaluate.steps);
  JobLoad load;
  load.model = o.model;
  load.size = o.sampler.size;
  load.parallel = o.parallel;
  load.draws = {
      {"rollout", groups.samples(), static_cast<double>(network_calls(o.sampler)), o.sampler.guidance_scale},
      {"evaluation", evaluations_of(o) * select + 2.0 * eval, steps, o.evaluate.guidance_scale}};
  for (const double scale : o.evaluate.base_guidance_scales)
    if (scale != o.evaluate.guidance_scale) load.draws.push_back({"evaluation", eval, steps, scale});
  load.prompts = load.encoded = train + select + eval;
  load.kept_pictures = 2.0 * std::min(static_cast<double>(o.evaluate.pictures), eval);
  load.stored_samples = groups.samples();
  load.iterations = o.iterations;
  load.trained_samples = groups.samples();
  load.average = o.ema_decay > 0.0;
  load.best = true;
  load.checkpoints = static_cast<double>(
      std::min(o.checkpoint.keep, (o.iterations + o.checkpoint.every - 1) / o.checkpoint.every));
  if (grpo) {
    const auto trained = static_cast<double>(
        trained_steps(step_window(o.sampler, static_cast<uint64_t>(o.seed), 0), o.sampler.steps).size());
    load.stored_latents = 1.0 + 2.0 * trained;
    load.forwards_with_gradient = trained;
    load.forwards_without = o.flow_grpo.kl_beta > 0.0 ? trained : 0.0;
    load.guided_training = o.sampler.guidance_scale != 1.0;
  } else {
    const auto times = static_cast<double>(o.diffusion_nft.times_per_sample);
    load.stored_latents = 1.0;
    load.forwards_with_gradient = times;
    load.forwards_without = times * (o.diffusion_nft.kl_beta > 0.0 ? 2.0 : 1.0);
    load.old_policy = true;
  }
  return load;
}

Plan plan_align(const AlignOptions& o, PlanMode mode) {
  AlignRehearsal rehearsal(o);
  auto little = align_load(rehearsal.options());
  const auto pictures = static_cast<double>(2 * o.parallel.worker_count() * o.parallel.micro_batch);
  little.iterations = 2;
  little.kept_pictures = 0.0;
  little.best = false;
  little.prompts = little.encoded = prompts_in(o.train_prompts, "/prompts/train");
  little.draws.resize(2);
  little.draws[1].pictures = pictures;
  return make_plan("align", align_load(o), model_size(o.model, o.sampler.size), mode,
                   {little, [&] { return rehearsal.run(); }});
}

}  // namespace thalweg
