#include "pipelines/align/context.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "pipelines/align/measures.h"
#include "pipelines/builtin.h"
#include "pipelines/scoring.h"
#include "pipelines/stages/reward_failures.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

AlignPrompts encoded_prompts(FlowModel& model, const AlignOptions& o, const Observer& observer) {
  const PromptEncoder encoder(model, o.model.prompt_cache, observer);
  return {encoder.encode(read_prompts(o.train_prompts, "/prompts/train")),
          encoder.encode(read_prompts(o.select_prompts, "/prompts/select")),
          encoder.encode(read_prompts(o.eval_prompts, "/prompts/eval")), encoder.conditioning({""})};
}

}  // namespace

AlignContext::AlignContext(const AlignOptions& o, const Observer& obs)
    : options(o),
      observer(obs),
      device(open_device(o.device)),
      workers(o.parallel.worker_count(device)),
      model(load_model(o.model.path, o.model.options(device))),
      shape(checked_latent_shape(*model, o.sampler.size, "/sampler")),
      prompts(encoded_prompts(*model, o, obs)),
      space(*model, o.model, static_cast<uint64_t>(o.seed)),
      rewards(make_rewards(o.rewards, o.sampler.size, o.parallel.micro_batch, o.seed, device)),
      schedule(schedule_of(o.sampler.schedule, *model, o.sampler.steps, o.sampler.size)),
      clock(device),
      evaluation_clock(device),
      policy(space.start()),
      optimizer({o.optimizer.beta1, o.optimizer.beta2, o.optimizer.eps, o.optimizer.weight_decay}) {
  if (o.ema_decay > 0.0) average = cloned(policy);
  note_lora();
}

void AlignContext::note_lora() {
  const auto& file = space.lora_file();
  const auto line = lora_note(space.lora(), file);
  if (line.empty()) return;
  observer.message(line);
  events.add({"warn",
              "lora_unmatched",
              line,
              {{"matched", file.matched},
               {"unmatched", file.unmatched.size()},
               {"text_encoder_tensors", file.text_encoder.size()}}});
}

Velocity AlignContext::guided(const Velocity& velocity) const {
  return cfg(options.sampler.guidance(), on_device(prompts.unconditional, device))(velocity);
}

std::vector<MicroBatch> draw_groups(AlignContext& c, int64_t iteration, const GroupPlan& plan,
                                    const Velocity& velocity,
                                    const std::function<Trajectory(const SamplerInput&)>& sampler) {
  const int64_t total = plan.groups * plan.group_size;
  RolloutInput input{.model = *c.model,
                     .prompts = c.prompts.train,
                     .rows = {},
                     .shape = c.shape,
                     .schedule = c.schedule,
                     .velocity = velocity,
                     .sampler = sampler,
                     .seed = c.seed(),
                     .noise = Purpose::initial_noise,
                     .initial_noise_NCFHW = {},
                     .rewards = c.rewards.get(),
                     .micro_batch = c.options.parallel.micro_batch,
                     .keep_frames = 0,
                     .workers = c.workers,
                     .clock = c.clock,
                     .stop_requested = c.observer.stop_requested};
  const auto prompts = draw_prompts(c.prompts.train.size(), plan.groups, iteration, c.seed());
  for (int64_t i = 0; i < total; ++i) {
    const int64_t group = i / plan.group_size;
    input.rows.push_back({prompts[static_cast<size_t>(group)], group, iteration * total + i});
  }
  for (int64_t update = 1; update < plan.updates; ++update)
    input.cuts.push_back(plan.begin(update) * plan.group_size);
  return rollout(input);
}

namespace {

// A rollout without a single score cannot teach anything.
void require_a_score(const RewardBatch& raw, const at::Tensor& valid_B) {
  if (!valid_B.any().item<bool>())
    throw Error("/rewards", "not one sample of the rollout was scored" + failure_reasons(raw.failures));
}

}  // namespace

void note_failures(AlignContext& c, const std::string& phase, const RewardBatch& raw,
                   const at::Tensor& valid_B) {
  auto event = failure_event(phase, raw, valid_B);
  if (!event) return;
  c.observer.message(event->message);
  c.events.add(std::move(*event));
}

GroupAdvantages score_groups(AlignContext& c, const std::vector<MicroBatch>& batches, bool global_std,
                             double adv_clip_max, Metrics& metrics) {
  const auto raw = rewards_of(batches);
  const auto total = combined(*c.rewards, raw);
  std::vector<int64_t> groups;
  for (const auto& batch : batches)
    for (const auto& row : batch.rows) groups.push_back(row.group);
  const auto mean = [](const at::Tensor& values, const at::Tensor& valid) {
    const auto scored = values.masked_select(valid);
    return scored.numel() == 0 ? std::nan("") : scored.mean().item<double>();
  };
  metrics.emplace_back("reward", mean(total.total_B, total.valid_B));
  for (int64_t k = 0; k < raw.dimensions(); ++k)
    metrics.emplace_back("reward_" + raw.names_K[static_cast<size_t>(k)],
                         mean(raw.values_BK.select(1, k), raw.valid_BK.select(1, k)));
  auto advantages = group_advantages(total.total_B, total.valid_B, groups,
                                     global_std ? DeviationOver::batch : DeviationOver::group, adv_clip_max);
  check_masked(advantages, total.valid_B);
  metrics.emplace_back("zero_std_ratio", advantages.zero_std_ratio);
  metrics.emplace_back("reward_std_mean", advantages.reward_std_mean);
  note_failures(c, "rollout", raw, total.valid_B);
  require_a_score(raw, total.valid_B);
  add_measures(raw, pictures_of(batches), groups, metrics);
  metrics.emplace_back("masked_samples",
                       static_cast<double>(total.valid_B.numel()) - total.valid_B.sum().item<double>());
  return advantages;
}

void require_updates(int64_t updates, int64_t groups) {
  if (updates > groups)
    throw Error("/method/updates", "must be at most /method/prompts_per_iteration, " +
                                       std::to_string(groups) + ": each update takes whole groups");
}

std::vector<TrainingShare> training_shares(const std::vector<MicroBatch>& batches,
                                           const GroupAdvantages& advantages, const GroupPlan& plan,
                                           int64_t update) {
  std::vector<TrainingShare> shares;
  int64_t row = 0;
  double used = 0.0;
  for (const auto& batch : batches) {
    const auto end = row + static_cast<int64_t>(batch.rows.size());
    const int64_t group = batch.rows.front().group;
    if (group >= plan.begin(update) && group < plan.begin(update + 1)) {
      shares.push_back({batch, advantages.values_B.slice(0, row, end), advantages.used_B.slice(0, row, end)});
      used += shares.back().used_B.sum().item<double>();
    }
    row = end;
  }
  if (used == 0.0) shares.clear();
  for (auto& share : shares) share.used = used;
  return shares;
}

void StepRecord::add(const std::vector<at::Tensor>& numbers) {
  c10::NoGradGuard no_grad;
  rows_.push_back(at::stack(numbers));
}

std::vector<std::vector<double>> StepRecord::read() const {
  std::vector<std::vector<double>> rows;
  if (rows_.empty()) return rows;
  const auto all = at::stack(rows_).to(at::kCPU, at::kDouble);
  const double* value = all.const_data_ptr<double>();
  for (int64_t i = 0; i < all.size(0); ++i, value += all.size(1))
    rows.emplace_back(value, value + all.size(1));
  return rows;
}

void apply_gradients(AlignContext& c, TensorMap gradients, int64_t iteration, Metrics& metrics) {
  PhaseClock::Scope scope(c.clock, "optimizer");
  if (gradients.empty()) return;
  const double norm = clip_gradients(gradients, c.options.optimizer.max_grad_norm);
  largest_metric(metrics, "grad_norm", norm);
  if (!std::isfinite(norm)) {
    add_metric(metrics, "skipped_updates", 1.0);
    return;
  }
  c.optimizer.step(c.policy, gradients, c.options.optimizer.rate_at(iteration, c.options.iterations));
  const auto t = static_cast<double>(c.optimizer_steps++);
  if (!c.average.empty())
    ema_update(c.average, c.policy, std::min((1.0 + t) / (10.0 + t), c.options.ema_decay));
}

at::Tensor used_rows(const at::Tensor& latents_BCFHW, const at::Tensor& used_B) {
  return at::where(used_B.view({-1, 1, 1, 1, 1}), latents_BCFHW, 0.0);
}

namespace {

double& metric(Metrics& metrics, const std::string& name, double start) {
  const auto it =
      std::find_if(metrics.begin(), metrics.end(), [&](const auto& m) { return m.first == name; });
  if (it != metrics.end()) return it->second;
  metrics.emplace_back(name, start);
  return metrics.back().second;
}

}  // namespace

void add_metric(Metrics& metrics, const std::string& name, double value) {
  metric(metrics, name, 0.0) += value;
}

void largest_metric(Metrics& metrics, const std::string& name, double value) {
  auto& largest = metric(metrics, name, value);
  if (!(value <= largest)) largest = value;  // NaN shows
}

std::vector<PhaseTiming> phase_timings(const AlignContext& c) {
  const auto workers = static_cast<double>(c.workers.count());
  const auto times = c.clock.times();
  std::vector<PhaseTiming> timings;
  for (const char* phase : {"rollout", "decode", "reward", "monitor", "train"})
    if (const auto it = times.find(phase); it != times.end())
      timings.push_back({phase, it->second.wall / workers, it->second.cpu});
  if (const auto it = times.find("optimizer"); it != times.end())
    timings.push_back({"optimizer", it->second.wall, it->second.cpu});
  PhaseTiming evaluation{"evaluation"};
  for (const auto& [phase, time] : c.evaluation_clock.times()) {
    evaluation.wall += time.wall / workers;
    evaluation.cpu += time.cpu;
  }
  timings.push_back(evaluation);
  return timings;
}

std::vector<PhaseTiming> difference(const std::vector<PhaseTiming>& before,
                                    const std::vector<PhaseTiming>& after) {
  auto grown = after;
  for (auto& now : grown)
    for (const auto& then : before) {
      if (now.phase != then.phase) continue;
      now.wall -= then.wall;
      now.cpu -= then.cpu;
    }
  return grown;
}

std::vector<int64_t> trained_steps(StepWindow window, int64_t steps) {
  std::vector<int64_t> trained;
  for (int64_t i = window.begin; i < std::min(window.end, steps - 1); ++i) trained.push_back(i);
  return trained;
}

}  // namespace thalweg
