#include "pipelines/training/groups.h"

#include <algorithm>

#include "engine/core/error.h"

namespace thalweg {

void describe(Fields& f, GroupPlan& plan) {
  f.integer({"prompts_per_iteration", "groups of one rollout"}, plan.groups, 1, 100000);
  f.integer({"group_size", "samples a prompt"}, plan.group_size, 2, 4096);
  f.integer({"updates", "optimizer steps a rollout, each on its own share of the groups"}, plan.updates, 1,
            1000);
}

void check_groups(const GroupPlan& plan) {
  if (plan.updates > plan.groups)
    throw Error("/method/updates", "must be at most /method/prompts_per_iteration, " +
                                       std::to_string(plan.groups) + ": each update takes whole groups");
}

std::vector<MicroBatch> draw_groups(Training& t, int64_t iteration, const GroupPlan& plan,
                                    const Velocity& velocity,
                                    const std::function<Trajectory(const SamplerInput&)>& sampler,
                                    int64_t particles) {
  RolloutInput input{.model = *t.model,
                     .prompts = t.prompts,
                     .rows = {},
                     .particles = particles,
                     .shape = t.shape,
                     .schedule = t.schedule,
                     .velocity = velocity,
                     .sampler = sampler,
                     .seed = t.seed(),
                     .noise = Purpose::initial_noise,
                     .occasion = {ScorePhase::rollout, iteration, iteration},
                     .initial_noise_NCFHW = {},
                     .rewards = t.rewards.get(),
                     .micro_batch = std::max<int64_t>(1, t.options.parallel.micro_batch / particles),
                     .keep_frames = 0,
                     .workers = t.workers,
                     .clock = t.clock,
                     .stop_requested = t.observer.stop_requested,
                     .most_decoded = t.options.parallel.micro_batch};
  const auto prompts = draw_prompts(t.prompts.size(), plan.groups, iteration, t.seed());
  for (int64_t i = 0; i < plan.samples(); ++i) {
    const int64_t group = i / plan.group_size;
    input.rows.push_back({prompts[static_cast<size_t>(group)], group, iteration * plan.samples() + i});
  }
  for (int64_t update = 1; update < plan.updates; ++update)
    input.cuts.push_back(plan.begin(update) * plan.group_size);
  return rollout(input);
}

}  // namespace thalweg
