#include "pipelines/training/groups.h"

#include "engine/core/error.h"

namespace thalweg {

void describe(Fields& f, GroupPlan& plan) {
  f.integer({"prompts_per_iteration", "groups of one rollout"}, plan.groups, 1, 100000);
  f.integer({"group_size", "samples a prompt"}, plan.group_size, 2, 4096);
  f.integer({"updates", "optimizer steps a rollout, each on its own share of the groups"}, plan.updates, 1,
            1000);
  f.boolean({"same_noise",
             "one initial noise for all samples of a group, which then differ by the noise of the sampler's "
             "steps alone"},
            plan.same_noise);
}

void check_groups(const GroupPlan& plan) {
  if (plan.updates > plan.groups)
    throw Error("/method/updates", "must be at most /method/prompts_per_iteration, " +
                                       std::to_string(plan.groups) + ": each update takes whole groups");
}

void check_groups(const GroupPlan& plan, const SamplerSection& sampler) {
  check_groups(plan);
  if (plan.same_noise && !draws_noise(sampler))
    throw Error("/method/same_noise",
                "all samples of a group would be one: \"" + sampler.kind.name() +
                    "\" draws no noise in its steps; take one that does (flow_sde, ...), or false");
}

std::vector<MicroBatch> draw_groups(Training& t, int64_t iteration, const GroupPlan& plan,
                                    const Velocity& velocity,
                                    const std::function<Trajectory(const SamplerInput&)>& sampler) {
  RolloutInput input{.model = *t.model,
                     .prompts = t.prompts,
                     .rows = {},
                     .shape = t.shape,
                     .schedule = t.schedule,
                     .velocity = velocity,
                     .sampler = sampler,
                     .seed = t.seed(),
                     .noise = Purpose::initial_noise,
                     .occasion = {ScorePhase::rollout, iteration, iteration},
                     .initial_noise_NCFHW = {},
                     .rewards = t.rewards.get(),
                     .micro_batch = t.options.parallel.micro_batch,
                     .keep_frames = 0,
                     .workers = t.workers,
                     .clock = t.clock,
                     .stop_requested = t.observer.stop_requested};
  const auto prompts = draw_prompts(t.prompts.size(), plan.groups, iteration, t.seed());
  for (int64_t i = 0; i < plan.samples(); ++i) {
    const int64_t group = i / plan.group_size;
    const int64_t first = iteration * plan.samples(), slot = first + i;
    input.rows.push_back({prompts[static_cast<size_t>(group)], group, slot,
                          plan.same_noise ? first + group * plan.group_size : slot});
  }
  for (int64_t update = 1; update < plan.updates; ++update)
    input.cuts.push_back(plan.begin(update) * plan.group_size);
  return rollout(input);
}

}  // namespace thalweg
