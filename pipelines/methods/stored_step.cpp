#include "pipelines/methods/stored_step.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numbers>
#include <tuple>

#include "engine/core/device.h"
#include "engine/losses/grpo.h"

namespace thalweg {

Replayed stored_step(const Training& t, const Kernel& kernel, const MicroBatch& batch, size_t i,
                     const at::Tensor& used_B) {
  const auto& trajectory = batch.trajectory;
  const int64_t index = trajectory.trained_steps[i];
  const auto& sigmas = trajectory.schedule.sigmas;
  return {.batch = batch,
          .index = i,
          .step = step_of(kernel, trajectory.schedule, index, batch.slot_B(), t.device()),
          .dt = sigmas[static_cast<size_t>(index)] - sigmas[static_cast<size_t>(index) + 1],
          .x = used_rows(trajectory.latents[i], used_B),
          .next = used_rows(trajectory.next_latents[i], used_B),
          .there = {},
          .log_prob_B = {},
          .old_log_prob_B = {},
          .old_mean = {}};
}

at::Tensor drawn_mean(const Training& t, const Replayed& r) {
  c10::NoGradGuard no_grad;
  return r.next - r.step.kernel.std * transition_noise(t.seed(), r.step.slot_B, r.x, r.step);
}

namespace {

// The KL is mean (mean - mean_ref)^2 / (2 scale^2). In velocity space that is mean |v - v_ref|^2, since the
// means differ by v_scale (v - v_ref).
double divisor(const Replayed& r, const std::string& kl_scale) {
  const auto& kernel = r.step.kernel;
  if (kl_scale == "std") return kernel.std;
  if (kl_scale == "diffusion") return kernel.std / std::sqrt(r.dt);
  return std::abs(kernel.v_scale) / std::numbers::sqrt2;
}

at::Tensor reference_mean(const Replayed& r, const Velocity& reference) {
  c10::NoGradGuard no_grad;
  return transition(r.x, reference(r.x, r.step, r.batch.conditioning), r.step.kernel).mean_BCFHW;
}

// log p - log p_ref at mean + std e, d the means' difference: mean(d^2) / (2 std^2) + mean(d e) / std, times
// std^2 / scale^2.
std::pair<at::Tensor, at::Tensor> share_kl(const Training& t, const Kernel& kernel, const Share& share,
                                           const Velocity& reference, const std::string& kl_scale,
                                           const at::Tensor& used_B) {
  const auto rows_B = on_device(share.rows(used_B), t.device());
  std::vector<at::Tensor> kl, log_ratio;
  for (size_t i = 0; i < share.batch.trajectory.trained_steps.size(); ++i) {
    const auto r = stored_step(t, kernel, share.batch, i, rows_B);
    const auto mean = drawn_mean(t, r), difference = mean - reference_mean(r, reference);
    const double scale = divisor(r, kl_scale);
    kl.push_back(difference.square().flatten(1).mean(1) / (2.0 * scale * scale));
    log_ratio.push_back(kl.back() + (difference * (r.next - mean)).flatten(1).mean(1) / (scale * scale));
  }
  const auto mean_of = [](const std::vector<at::Tensor>& steps) {
    return at::stack(steps).to(at::kDouble).mean(0).cpu();
  };
  return {mean_of(kl), mean_of(log_ratio)};
}

}  // namespace

at::Tensor reference_kl(const Replayed& r, const at::Tensor& mean, const Velocity& reference,
                        const std::string& kl_scale) {
  return gaussian_kl(mean, reference_mean(r, reference), divisor(r, kl_scale));
}

RolloutKl rollout_kl(Training& t, const Transitions& transitions, const Velocity& reference,
                     const std::string& kl_scale, const at::Tensor& used_B) {
  const auto guided = t.guided(reference);
  std::vector<Share> shares;
  for (const auto& batch : transitions.batches) {
    const auto begin = shares.empty() ? 0 : shares.back().end;
    shares.push_back({batch, begin, begin + static_cast<int64_t>(batch.rows.size())});
  }
  std::vector<at::Tensor> kl(shares.size()), log_ratio(shares.size());
  t.workers.for_each(static_cast<int64_t>(shares.size()), [&](int64_t k) {
    PhaseClock::Scope scope(t.clock, "train");
    c10::NoGradGuard no_grad;
    const auto i = static_cast<size_t>(k);
    std::tie(kl[i], log_ratio[i]) = share_kl(t, transitions.kernel, shares[i], guided, kl_scale, used_B);
  });
  return {at::cat(kl), at::cat(log_ratio)};
}

}  // namespace thalweg
