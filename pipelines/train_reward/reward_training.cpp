#include "pipelines/train_reward/reward_training.h"

#include <ATen/ATen.h>

#include <map>
#include <mutex>
#include <utility>

#include "engine/core/device.h"
#include "pipelines/models.h"
#include "pipelines/scoring.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/not_finite.h"
#include "pipelines/training/scores.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

// States of some steps as they pass: whatever the sampler, it asks for a velocity there.
class StateRecord {
 public:
  explicit StateRecord(const RewardTraining::StepOf& step_of) : step_of_(step_of) {}

  Velocity watched(Velocity velocity) {
    return
        [this, velocity = std::move(velocity)](const at::Tensor& x, const Step& step, const Conditioning& c) {
          keep(x, step);
          return velocity(x, step, c);
        };
  }

  void put_into(Outcomes& outcomes, const std::vector<int64_t>& slots) const {
    if (states_.empty()) return;
    std::vector<at::Tensor> states, sigmas;
    for (const auto slot : slots) {
      states.push_back(states_.at(slot).first);
      sigmas.push_back(states_.at(slot).second);
    }
    outcomes.state_NCFHW = at::stack(states);
    outcomes.sigma_N = at::stack(sigmas);
  }

 private:
  void keep(const at::Tensor& x, const Step& step) {
    for (size_t b = 0; b < step.slot_B.size(); ++b) {
      const auto slot = step.slot_B[b];
      if (step_of_(slot) != step.index) continue;
      const auto row = static_cast<int64_t>(b);
      auto state = x[row].detach().to(at::kCPU, at::kFloat, false, /*copy=*/true);
      auto sigma = step.sigma_B[row].to(at::kCPU, at::kDouble);
      const std::lock_guard lock(mutex_);
      states_.try_emplace(slot, std::move(state), std::move(sigma));  // a solver may come by twice
    }
  }

  const RewardTraining::StepOf& step_of_;
  std::mutex mutex_;
  std::map<int64_t, std::pair<at::Tensor, at::Tensor>> states_;
};

std::unique_ptr<FlowModel> loaded_model(const TrainRewardOptions& o, at::Device device) {
  return load_model(o.model.path, o.model.options(device));
}

}  // namespace

RewardTraining::RewardTraining(const TrainRewardOptions& o, const Observer& watcher)
    : options(o),
      observer(watcher),
      lines(std::make_unique<RewardLines>(watcher)),
      workers(std::make_unique<Workers>(o.parallel.worker_count(o.device.require()), o.device.require())),
      model(loaded_model(o, o.device.open(watcher))),
      shape(checked_latent_shape(*model, o.sampler.size, "/sampler")),
      schedule(schedule_of(o.sampler.schedule, *model, o.sampler.steps, o.sampler.size)),
      rewards(make_rewards(o.rewards, {o.sampler.size, o.video.fps}, o.parallel.micro_batch, o.seed,
                           model->device(), lines->log())),
      velocity([&] {
        const PromptEncoder encoder(*model, o.model.prompt_cache, *workers, watcher);
        const auto encoded = [&](const PromptFile& file, int64_t limit) {
          return encoder.encode(read_prompts(file, limit), file.path);
        };
        prompts = encoded(o.prompts.to_train(), 0);
        select = encoded(o.prompts.to_select(), o.evaluate.prompts);
        evaluation = encoded(o.prompts.to_eval(), o.evaluate.prompts);
        encoder.tell_cut({o.negative_prompt}, "/negative_prompt");
        unconditional = on_device(encoder.conditioning({o.negative_prompt}), model->device());
        return cfg(o.sampler.guidance(), unconditional)(bound_with_lora(*model, o.model, watcher));
      }()),
      clock(model->device()) {}

Conditioning RewardTraining::conditioning_of(const PromptSet& set, const std::vector<int64_t>& rows) const {
  return on_device(set.conditioning.select(rows), device());
}

Outcomes RewardTraining::draw(const PromptSet& set, std::vector<SampleRow> rows, Purpose noise,
                              ScoreOccasion occasion, const StepOf& kept_step) {
  StateRecord record(kept_step);
  const auto window = step_window(options.sampler, seed(), occasion.iteration);
  const int64_t total = static_cast<int64_t>(rows.size());
  const auto batches =
      rollout({.model = *model,
               .prompts = set,
               .rows = std::move(rows),
               .shape = shape,
               .schedule = schedule,
               .velocity = kept_step ? record.watched(velocity) : velocity,
               .sampler = [&](const SamplerInput& in) { return draw_samples(in, options.sampler, window); },
               .seed = seed(),
               .noise = noise,
               .occasion = occasion,
               .initial_noise_NCFHW = {},
               .rewards = rewards.get(),
               .picture_statistics = false,
               .micro_batch = options.parallel.micro_batch,
               .workers = *workers,
               .clock = clock,
               .progress = [&](int64_t done) { observer.progress("samples", done, total, {}); },
               .stop_requested = observer.stop_requested});
  const auto raw = rewards_of(batches);
  const auto outcome = combined(*rewards, raw);
  if (auto event = note_failures(observer, noise == Purpose::evaluation ? "held-out" : "rollout", raw,
                                 outcome.valid_B))
    events.add(std::move(*event));
  if (const auto bad = not_finite(batches); bad == total) require_finite_samples("rollout", bad, bad);
  FailurePolicy(options.failed_rewards, occasion.iteration > 0)
      .require(noise == Purpose::evaluation ? "the held-out evaluation" : "the rollout", raw,
               rewards->weights_K());
  Outcomes outcomes;
  outcomes.reward_N = at::where(outcome.valid_B, outcome.total_B, NAN);
  std::vector<at::Tensor> x0;
  std::vector<int64_t> slots;
  for (const auto& batch : batches) {
    x0.push_back(batch.trajectory.x0_BCFHW.to(at::kCPU, at::kFloat));
    for (const auto& row : batch.rows) outcomes.prompt_N.push_back(row.prompt), slots.push_back(row.slot);
  }
  outcomes.x0_NCFHW = at::nan_to_num(at::cat(x0), 0.0, 0.0, 0.0);
  record.put_into(outcomes, slots);
  return outcomes;
}

Outcomes RewardTraining::draw(int64_t iteration, int64_t groups, int64_t group_size,
                              const StepOf& kept_step) {
  const auto drawn = draw_prompts(prompts.size(), groups, iteration, seed());
  std::vector<SampleRow> rows;
  const int64_t first = iteration * groups * group_size;
  for (int64_t i = 0; i < groups * group_size; ++i)
    rows.push_back({drawn[static_cast<size_t>(i / group_size)], i / group_size, first + i});
  return draw(prompts, std::move(rows), Purpose::initial_noise, {ScorePhase::rollout, iteration, iteration},
              kept_step);
}

Outcomes RewardTraining::held_out(const PromptSet& set, int64_t group_size, const StepOf& kept_step) {
  // Apart from the rollouts' samples, and from each other's.
  const int64_t first = int64_t{1} << (&set == &select ? 32 : 33);
  std::vector<SampleRow> rows;
  for (int64_t i = 0; i < set.size() * group_size; ++i)
    rows.push_back({i / group_size, i / group_size, first + i});
  return draw(set, std::move(rows), Purpose::evaluation, {ScorePhase::held_out, 0, 0}, kept_step);
}

std::vector<Event> RewardTraining::take_events() {
  auto all = lines->take();
  for (auto& event : events.take()) all.push_back(std::move(event));
  return all;
}

}  // namespace thalweg
