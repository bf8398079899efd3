#include "pipelines/stages/rollout.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "engine/core/device.h"
#include "engine/parallel/handover.h"
#include "pipelines/stages/group_scores.h"

namespace thalweg {
namespace {

ScoreInput score_input(const RolloutInput& in, const MicroBatch& batch, const at::Tensor& frames_BF3HW) {
  ScoreInput input;
  input.frames_BF3HW = frames_BF3HW;
  input.latents_BCFHW = batch.trajectory.x0_BCFHW;
  input.sigmas_B = at::zeros({frames_BF3HW.size(0)}, at::kDouble);
  input.num_steps = static_cast<int>(in.schedule.steps());
  input.occasion = in.occasion;
  for (const auto& row : batch.rows) {
    const auto prompt = static_cast<size_t>(row.prompt);
    input.prompts.push_back(in.prompts.list.prompts[prompt]);
    input.metadata_json.push_back(in.prompts.list.metadata_json[prompt]);
    input.name_next(in.seed, row.slot);
    input.group_ids.push_back(row.group);
  }
  return input;
}

// Of samples [B,...], on the CPU.
at::Tensor finite_rows(const at::Tensor& x) {
  return x.isfinite().flatten(1).all(1).cpu();
}

int64_t count_false(const at::Tensor& holds_B) {
  return holds_B.numel() - holds_B.sum().item<int64_t>();
}

// A reward may well give a number to a sample that is none.
void mask(RewardBatch& rewards, const at::Tensor& finite_B) {
  auto masked = make_reward_batch(rewards.names_K, at::where(finite_B.unsqueeze(1), rewards.values_BK, NAN));
  masked.failures = std::move(rewards.failures);
  add_failures(masked.failures, {{"sampler", "the sample is not finite", count_false(finite_B), 1}});
  rewards = std::move(masked);
}

// Rows [begin, end) as many times as each has particles.
std::vector<SampleRow> particle_rows(const RolloutInput& in, int64_t begin, int64_t end) {
  std::vector<SampleRow> rows;
  for (int64_t i = begin; i < end; ++i)
    for (int64_t p = 0; p < in.particles; ++p) {
      rows.push_back(in.rows[static_cast<size_t>(i)]);
      for (auto* slot : {&rows.back().slot, &rows.back().noise_slot}) *slot = *slot * in.particles + p;
    }
  return rows;
}

Conditioning conditioning_of(const RolloutInput& in, const std::vector<SampleRow>& rows) {
  std::vector<int64_t> prompts;
  for (const auto& row : rows) prompts.push_back(row.prompt);
  return on_device(in.prompts.conditioning.select(prompts), in.model.device());
}

at::Tensor decoded(const RolloutInput& in, const at::Tensor& latents) {
  if (in.most_decoded == 0 || latents.size(0) <= in.most_decoded) return in.model.decode(latents);
  std::vector<at::Tensor> parts;
  for (const auto& part : latents.split(in.most_decoded)) parts.push_back(in.model.decode(part));
  return at::cat(parts);
}

// A micro-batch that is not scored yet.
struct DrawnBatch {
  MicroBatch batch;
  at::Tensor frames_BF3HW;  // undefined: nobody wants them
  at::Tensor finite_B;
};

DrawnBatch draw(const RolloutInput& in, int64_t begin, int64_t end) {
  MicroBatch batch;
  batch.begin = begin;
  batch.end = end;
  batch.rows = particle_rows(in, begin, end);
  const auto device = in.model.device();
  batch.conditioning = conditioning_of(in, batch.rows);
  const auto slots = batch.slot_B();
  {
    PhaseClock::Scope scope(in.clock, "rollout");
    std::vector<int64_t> noise_slots;
    for (const auto& row : batch.rows) noise_slots.push_back(row.noise_slot);
    const auto x =
        in.initial_noise_NCFHW.defined()
            ? on_device(in.initial_noise_NCFHW.slice(0, begin * in.particles, end * in.particles), device)
            : normal_noise(in.seed, in.noise, noise_slots, 0, in.shape.sizes(), in.model.latent_dtype(),
                           device);
    batch.trajectory = in.sampler({in.velocity, in.schedule, batch.conditioning, x, slots, in.seed});
  }
  if (batch.trajectory.x0_BCFHW.size(0) < static_cast<int64_t>(batch.rows.size())) {
    batch.rows.assign(in.rows.begin() + begin, in.rows.begin() + end);
    batch.conditioning = conditioning_of(in, batch.rows);
  }
  auto finite_B = finite_rows(batch.trajectory.x0_BCFHW);
  at::Tensor frames;
  if (in.rewards || begin < in.keep_frames) {
    PhaseClock::Scope scope(in.clock, "decode");
    frames = decoded(in, batch.trajectory.x0_BCFHW);
    finite_B = at::logical_and(finite_B, finite_rows(frames));
  }
  batch.not_finite = count_false(finite_B);
  return {std::move(batch), frames, finite_B};
}

// All but what compares the samples of a group.
void finish(const RolloutInput& in, DrawnBatch& drawn) {
  auto& [batch, frames, finite_B] = drawn;
  if (in.rewards) {
    PhaseClock::Scope scope(in.clock, "reward");
    batch.rewards = in.rewards->score(score_input(in, batch, frames), Scoring::alone);
    if (batch.not_finite > 0) mask(batch.rewards, finite_B);
  }
  if (in.rewards && in.picture_statistics) {
    PhaseClock::Scope scope(in.clock, "monitor");
    batch.pictures = image_statistics(frames);
  }
  // A copy, so that the kept rows do not hold the whole micro-batch's memory.
  const auto begin = batch.begin;
  if (begin < in.keep_frames)
    batch.frames_BF3HW = frames.slice(0, 0, (in.keep_frames - begin) * (frames.size(0) / (batch.end - begin)))
                             .to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

// [begin, end) of each micro-batch: at most `micro_batch` rows, none across a cut.
std::vector<std::pair<int64_t, int64_t>> ranges(const RolloutInput& in) {
  auto ends = in.cuts;
  ends.push_back(static_cast<int64_t>(in.rows.size()));
  std::vector<std::pair<int64_t, int64_t>> result;
  int64_t begin = 0;
  for (const int64_t end : ends)
    for (; begin < end; begin = result.back().second)
      result.emplace_back(begin, std::min(begin + in.micro_batch, end));
  return result;
}

}  // namespace

std::vector<MicroBatch> rollout(const RolloutInput& in) {
  const auto parts = ranges(in);
  std::vector<MicroBatch> batches(parts.size());
  std::optional<GroupScores> groups;
  if (in.rewards && in.whole_groups && in.rewards->compares()) groups.emplace(*in.rewards, in.rows);
  std::mutex mutex;
  int64_t done = 0;
  const auto finish_one = [&](int64_t i, DrawnBatch drawn) {
    c10::NoGradGuard no_grad;
    finish(in, drawn);
    batches[static_cast<size_t>(i)] = std::move(drawn.batch);
    std::vector<int64_t> complete = {i};
    if (groups) {
      PhaseClock::Scope scope(in.clock, "reward");
      const auto input = score_input(in, batches[static_cast<size_t>(i)], drawn.frames_BF3HW);
      complete = groups->add(i, batches, input, drawn.finite_B);
    }
    for (const auto number : complete) {
      auto& batch = batches[static_cast<size_t>(number)];
      const auto rows = batch.end - batch.begin;  // who is told may take the batch
      in.finished(batch);
      std::lock_guard lock(mutex);
      done += rows;
      in.progress(done);
    }
  };
  // While a reward is computed elsewhere, the workers draw.
  const bool elsewhere = in.rewards && in.rewards->elsewhere();
  Handover scoring(elsewhere ? in.workers.count() : 0, in.model.device());
  in.workers.for_each(static_cast<int64_t>(parts.size()), [&](int64_t i) {
    if (in.stop_requested()) throw Stopped{};
    c10::NoGradGuard no_grad;
    const auto [begin, end] = parts[static_cast<size_t>(i)];
    auto drawn = std::make_shared<DrawnBatch>(draw(in, begin, end));
    scoring.hand_on(i, [&finish_one, i, drawn] { finish_one(i, std::move(*drawn)); });
  });
  scoring.join();
  return batches;
}

RewardBatch rewards_of(const std::vector<MicroBatch>& batches) {
  std::vector<RewardBatch> parts;
  for (const auto& batch : batches) parts.push_back(batch.rewards);
  return concatenate_samples(parts);
}

ImageStatistics pictures_of(const std::vector<MicroBatch>& batches) {
  std::vector<ImageStatistics> parts;
  for (const auto& batch : batches) parts.push_back(batch.pictures);
  return concatenate(parts);
}

int64_t not_finite(const std::vector<MicroBatch>& batches) {
  int64_t count = 0;
  for (const auto& batch : batches) count += batch.not_finite;
  return count;
}

at::Tensor frames_of(const std::vector<MicroBatch>& batches) {
  std::vector<at::Tensor> parts;
  for (const auto& batch : batches)
    if (batch.frames_BF3HW.defined()) parts.push_back(batch.frames_BF3HW);
  return parts.empty() ? at::Tensor() : at::cat(parts);
}

}  // namespace thalweg
