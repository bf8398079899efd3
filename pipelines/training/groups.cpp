#include "pipelines/training/groups.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace thalweg {
namespace {

// Of the samples of `batch`; for those that are dropped, the empty prompt's.
Conditioning with_dropout(const Training& t, const MicroBatch& batch, double share) {
  std::vector<int64_t> prompts, rows;
  const auto count = static_cast<int64_t>(batch.rows.size());
  for (const auto& row : batch.rows) {
    const bool dropped =
        random_uniform(t.seed(), Purpose::dropout, static_cast<uint64_t>(row.slot), 0) < share;
    rows.push_back(dropped ? count : static_cast<int64_t>(prompts.size()));
    prompts.push_back(row.prompt);
  }
  const auto conditioning = on_device(t.prompts.conditioning.select(prompts), t.device());
  return share > 0.0 ? concatenate(conditioning, t.unconditional).select(rows) : conditioning;
}

void describe_plan(Fields& f, GroupPlan& plan, bool drawn) {
  f.integer({"prompts_per_iteration", "groups of one rollout, or of one batch of pictures"}, plan.groups, 1,
            100000);
  if (drawn) f.integer({"group_size", "samples a prompt"}, plan.group_size, 2, 4096);
  f.integer({"updates", "optimizer steps a rollout, each on its own share of the groups"}, plan.updates, 1,
            1000);
}

// One sample a row, not scored.
RolloutInput rollout_of(Training& t, int64_t iteration, const GroupPlan& plan, const Velocity& velocity,
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
                     .micro_batch = t.options.parallel.micro_batch,
                     .keep_frames = 0,
                     .workers = t.workers,
                     .clock = t.clock,
                     .stop_requested = t.observer.stop_requested,
                     .most_decoded = t.options.parallel.micro_batch};
  const auto prompts = draw_prompts(t.prompts.size(), plan.groups, iteration, t.seed());
  for (int64_t i = 0; i < plan.samples(); ++i) {
    const int64_t group = i / plan.group_size;
    const int64_t first = iteration * plan.samples(), slot = first + i;
    input.rows.push_back({prompts[static_cast<size_t>(group)], group, slot,
                          plan.same_noise ? first + group * plan.group_size : slot});
  }
  for (int64_t update = 1; update < plan.updates; ++update)
    input.cuts.push_back(plan.begin(update) * plan.group_size);
  return input;
}

}  // namespace

void describe(Fields& f, GroupPlan& plan) {
  describe_plan(f, plan, true);
  f.boolean({"same_noise",
             "one initial noise for all samples of a group, which then differ by the noise of the sampler's "
             "steps alone"},
            plan.same_noise);
}

void describe_given(Fields& f, GroupPlan& plan) {
  describe_plan(f, plan, false);
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
                                    const std::function<Trajectory(const SamplerInput&)>& sampler,
                                    int64_t particles) {
  auto input = rollout_of(t, iteration, plan, velocity, sampler);
  input.particles = particles;
  input.micro_batch = std::max<int64_t>(1, t.options.parallel.micro_batch / particles);
  input.rewards = t.rewards.get();
  return rollout(input);
}

std::vector<MicroBatch> draw_unscored_groups(Training& t, int64_t iteration, const GroupPlan& plan,
                                             const Velocity& velocity,
                                             const std::function<Trajectory(const SamplerInput&)>& sampler) {
  return rollout(rollout_of(t, iteration, plan, velocity, sampler));
}

std::vector<MicroBatch> given_groups(const Training& t, int64_t iteration, const GroupPlan& plan,
                                     int64_t micro_batch, double caption_dropout) {
  const auto prompts = draw_prompts(t.prompts.size(), plan.groups, iteration, t.seed());
  const auto latents = t.pictures.latents_NKCFHW.flatten(0, 1);
  std::vector<MicroBatch> batches;
  for (int64_t update = 0; update < plan.updates; ++update) {
    const int64_t last = plan.begin(update + 1) * plan.group_size;
    for (int64_t begin = plan.begin(update) * plan.group_size; begin < last; begin += micro_batch) {
      auto& batch = batches.emplace_back();
      std::vector<int64_t> pictures;
      for (int64_t i = begin; i < std::min(begin + micro_batch, last); ++i) {
        const int64_t group = i / plan.group_size, prompt = prompts[static_cast<size_t>(group)];
        batch.rows.push_back({prompt, group, iteration * plan.samples() + i});
        pictures.push_back(prompt * plan.group_size + i % plan.group_size);
      }
      batch.conditioning = with_dropout(t, batch, caption_dropout);
      batch.trajectory.schedule = t.schedule;
      batch.trajectory.x0_BCFHW =
          on_device(latents.index_select(0, at::tensor(pictures, at::kLong)), t.device());
    }
  }
  return batches;
}

}  // namespace thalweg
