#include "pipelines/align/align_load.h"

#include <algorithm>
#include <map>
#include <utility>

#include "pipelines/align/context.h"
#include "pipelines/builtin.h"
#include "samplers/sampler.h"

namespace thalweg {
namespace {

double evaluations_of(const AlignOptions& o) {
  return static_cast<double>(1 + o.iterations / o.evaluate.every + (o.iterations % o.evaluate.every != 0));
}

StepWindow window_of(const AlignOptions& o, int64_t iteration) {
  return step_window(o.sampler, static_cast<uint64_t>(o.seed), iteration);
}

// The first iteration with each place of the window, and the share of the iterations that have it there.
struct WindowShare {
  int64_t iteration = 0;
  double share = 0.0;
};

std::vector<WindowShare> window_shares(const AlignOptions& o) {
  std::map<int64_t, WindowShare> by_begin;
  const double one = 1.0 / static_cast<double>(o.iterations);
  for (int64_t i = 0; i < o.iterations; ++i)
    by_begin.try_emplace(window_of(o, i).begin, WindowShare{i, 0.0}).first->second.share += one;
  std::vector<WindowShare> shares;
  for (const auto& [begin, share] : by_begin) shares.push_back(share);
  return shares;
}

// Means over the iterations.
struct Rollouts {
  double network_evaluations = 0.0, trained_steps = 0.0, trained_evaluations = 0.0;
};

Rollouts rollouts_of(const AlignOptions& o, const DrawLoad& first) {
  const auto& s = o.sampler;
  Rollouts mean;
  for (const auto& [iteration, share] : window_shares(o)) {
    const auto window = window_of(o, iteration);
    // Where there is no tail a window changes the noise alone.
    const double evaluations = s.tail_ratio < 1.0
                                   ? draw_cost(rollout_settings(o, iteration), 1, 1).network_evaluations
                                   : first.cost.network_evaluations;
    mean.network_evaluations += share * evaluations;
    for (const int64_t step : trained_steps(window, s.steps)) {
      const bool guided = s.guidance_scale != 1.0 && in_window(step, s.guidance_begin, s.guidance_size);
      mean.trained_steps += share;
      mean.trained_evaluations += share * (guided ? 2.0 : 1.0);
    }
  }
  return mean;
}

std::vector<DrawLoad> draws_of(const AlignOptions& o, double samples, double select, double eval) {
  const auto& e = o.evaluate;
  const int64_t micro_batch = o.parallel.micro_batch;
  const auto schedule = planned_schedule(o.sampler.schedule, o.model, e.steps, o.sampler.size);
  const auto evaluation = [&](double count, double scale) {
    return draw_load("evaluation", count, ode_settings(e.steps, scale, schedule), micro_batch);
  };
  std::vector<DrawLoad> draws = {draw_load("rollout", samples, rollout_settings(o, 0), micro_batch),
                                 evaluation(evaluations_of(o) * select + 2.0 * eval, e.guidance_scale)};
  for (const double scale : e.base_guidance_scales)
    if (scale != e.guidance_scale) draws.push_back(evaluation(eval, scale));
  return draws;
}

}  // namespace

AlignGroups groups_of(AlignOptions& o) {
  if (o.method == "flow_grpo")
    return {o.flow_grpo.prompts_per_iteration, o.flow_grpo.group_size, o.flow_grpo.updates};
  return {o.diffusion_nft.prompts_per_iteration, o.diffusion_nft.group_size, o.diffusion_nft.updates};
}

double prompts_in(const std::string& path, const char* pointer) {
  return static_cast<double>(read_prompts(path, pointer).prompts.size());
}

DrawSettings rollout_settings(const AlignOptions& o, int64_t iteration) {
  return {.sampler = o.sampler,
          .schedule = planned_schedule(o.sampler.schedule, o.model, o.sampler.steps, o.sampler.size),
          .window = window_of(o, iteration)};
}

JobLoad align_load(const AlignOptions& options) {
  AlignOptions o = options;
  const auto groups = groups_of(o);
  const bool grpo = o.method == "flow_grpo";
  const double train = prompts_in(o.train_prompts, "/prompts/train"),
               select = prompts_in(o.select_prompts, "/prompts/select"),
               eval = prompts_in(o.eval_prompts, "/prompts/eval");
  JobLoad load;
  load.model = o.model;
  load.size = o.sampler.size;
  load.parallel = o.parallel;
  load.draws = draws_of(o, groups.samples(), select, eval);
  const auto rollouts = rollouts_of(o, load.draws[0]);
  load.draws[0].cost.network_evaluations = rollouts.network_evaluations;
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
    load.stored_latents = 1.0 + 2.0 * rollouts.trained_steps;
    load.forwards_with_gradient = rollouts.trained_evaluations;
    load.forwards_without = o.flow_grpo.kl_beta > 0.0 ? rollouts.trained_evaluations : 0.0;
    load.guided_training = rollouts.trained_evaluations > rollouts.trained_steps;
  } else {
    const auto times = static_cast<double>(o.diffusion_nft.times_per_sample);
    load.stored_latents = 1.0;
    load.forwards_with_gradient = times;
    load.forwards_without = times * (o.diffusion_nft.kl_beta > 0.0 ? 2.0 : 1.0);
    load.old_policy = true;
  }
  return load;
}

}  // namespace thalweg
