#include "pipelines/align/align_load.h"

#include <algorithm>
#include <map>
#include <utility>

#include "engine/core/ceil_div.h"
#include "pipelines/models.h"
#include "rewards/open_reward.h"
#include "rewards/plugin.h"

namespace thalweg {
namespace {

double evaluations_of(const AlignOptions& o) {
  return static_cast<double>(1 + o.iterations / o.evaluate.every + (o.iterations % o.evaluate.every != 0));
}

StepWindow window_of(const AlignOptions& o, int64_t iteration) {
  return step_window(o.sampler, static_cast<uint64_t>(o.seed), iteration);
}

// The last iteration with each place of the window (a method may begin otherwise than it goes on), and the
// share of the iterations that have it there.
struct WindowShare {
  int64_t iteration = 0;
  double share = 0.0;
};

// Of a method whose iterations draw how much they do, some of all.
std::vector<WindowShare> window_shares(const AlignOptions& o) {
  constexpr int64_t kDrawn = 64;
  if (o.method->varies()) {
    const auto count = std::min(o.iterations, kDrawn);
    std::vector<WindowShare> some;
    for (int64_t i = 0; i < count; ++i)
      some.push_back({o.iterations - 1 - i * (o.iterations / count), 1.0 / static_cast<double>(count)});
    return some;
  }
  std::map<int64_t, WindowShare> by_begin;
  const double one = 1.0 / static_cast<double>(o.iterations);
  for (int64_t i = 0; i < o.iterations; ++i) {
    auto& place = by_begin[window_of(o, i).begin];
    place.iteration = i;
    place.share += one;
  }
  std::vector<WindowShare> shares;
  for (const auto& [begin, share] : by_begin) shares.push_back(share);
  return shares;
}

// What the job's iterations ask for on the average: the window may move.
struct Iterations {
  double network_evaluations = 0.0;  // of the rollout, for each sample
  MethodCount method;
};

Iterations iterations_of(const AlignOptions& o) {
  Iterations mean;
  mean.method.stored_latents = 0.0;
  for (const auto& [iteration, share] : window_shares(o)) {
    const auto count = count_iteration(o, iteration);
    mean.network_evaluations += share * count.forwards_of_rollout;
    mean.method.forwards_with_gradient += share * count.forwards_with_gradient;
    mean.method.forwards_without += share * count.forwards_without;
    mean.method.backwards += share * count.backwards;
    mean.method.latent_backwards += share * count.latent_backwards;
    mean.method.reward_gradients += share * count.reward_gradients;
    mean.method.gradients = std::max(mean.method.gradients, count.gradients);
    mean.method.decoded = count.decoded;
    mean.method.stored_latents += share * count.stored_latents;
    mean.method.rows_with_gradient = std::max(mean.method.rows_with_gradient, count.rows_with_gradient);
    mean.method.roles = count.roles;
  }
  return mean;
}

// No plugin is loaded for it: one whose dimensions are not named has one.
int64_t trained_rewards_of(const AlignOptions& o) {
  int64_t count = 0;
  for (const auto& spec : o.rewards) {
    if (use_of(spec) != RewardUse::train || spec.weight == 0.0) continue;
    count += spec.dimensions.empty() ? 1
                                     : std::count_if(spec.dimensions.begin(), spec.dimensions.end(),
                                                     [](const auto& entry) { return entry.second != 0.0; });
  }
  return std::max<int64_t>(count, 1);
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

double prompts_in(const PromptFile& file) {
  return static_cast<double>(read_prompts(file).prompts.size());
}

DrawSettings rollout_settings(const AlignOptions& o, int64_t iteration) {
  return {.sampler = o.sampler,
          .steering = o.method->steering(),
          .schedule = planned_schedule(o.sampler.schedule, o.model, o.sampler.steps, o.sampler.size),
          .window = window_of(o, iteration)};
}

MethodCount count_iteration(const AlignOptions& o, int64_t iteration) {
  return count_method(
      *o.method, o, iteration,
      [&](int64_t steps) { return planned_schedule({}, o.model, steps, o.sampler.size); },
      trained_rewards_of(o));
}

JobLoad align_load(const AlignOptions& o) {
  const auto samples = static_cast<double>(o.method->groups().samples());
  const double train = prompts_in(o.prompts.to_train()), select = prompts_in(o.prompts.to_select()),
               eval = prompts_in(o.prompts.to_eval());
  JobLoad load;
  load.model = o.model;
  load.size = o.sampler.size;
  load.parallel = o.parallel;
  load.scored_elsewhere = scores_elsewhere(o.rewards, installed_plugin_dirs());
  load.draws = draws_of(o, samples, select, eval);
  const auto iterations = iterations_of(o);
  load.draws[0].cost.network_evaluations = iterations.network_evaluations;
  for (const auto use : followed_by(load.draws[0].settings.steering))
    load.draws[0].reward_decodes = load.draws[0].reward_decodes ||
                                   wants_frames(inspect_rewards(o.rewards, use, installed_plugin_dirs()));
  load.prompts = load.encoded = train + select + eval;
  load.kept_pictures = 2.0 * kEightBit * std::min(static_cast<double>(o.evaluate.pictures), eval);
  load.stored_samples = load.trained_samples = samples;
  if (const auto source = o.method->pictures(); source.given()) {
    const bool draws = o.method->few_step();  // beside them
    if (!draws) load.draws[0].samples = 0.0;  // and its cost as if there were some: of what `plan` asks next
    load.stored_samples = (draws ? samples : 0.0) + train * static_cast<double>(source.keys.size());
  }
  load.stored_latents = iterations.method.stored_latents;
  load.iterations = o.iterations;
  load.forwards_with_gradient = iterations.method.forwards_with_gradient;
  load.forwards_without = iterations.method.forwards_without;
  load.backwards = iterations.method.backwards;
  load.latent_backwards = iterations.method.latent_backwards;
  load.gradients = iterations.method.gradients;
  load.rows_with_gradient = iterations.method.rows_with_gradient;
  if (!iterations.method.decoded) {
    load.draws[0].decoded = false;
  }
  load.draws[0].direct_gradients = iterations.method.reward_gradients;
  load.draws[0].add_direct_gradients();
  load.roles = iterations.method.roles;
  load.teacher = !o.method->teacher().empty() && !o.model.has_lora;
  load.best = true;
  load.offloaded = o.optimizer.offload;
  load.export_dtype = o.export_.dtype;
  load.checkpoints =
      static_cast<double>(std::min(o.checkpoint.keep, ceil_div(o.iterations, o.checkpoint.every)));
  return load;
}

}  // namespace thalweg
