// DiffusionNFT (Zheng et al. 2025, arXiv 2509.16117): rollout of the old policy with the ODE, clean latents
// only -> score -> group advantages -> forward noising at sigmas of the schedule -> contrastive velocity loss
// -> optimizer -> the old policy follows.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/losses/nft.h"
#include "pipelines/align/method.h"

namespace thalweg {
namespace {

struct LossSums {
  double policy_loss = 0.0, kl_loss = 0.0, old_deviation = 0.0;

  void add_step(const std::vector<double>& row) {
    policy_loss += row[0];
    old_deviation += row[1];
    kl_loss += row[2];
  }
  void add(const LossSums& s) {
    policy_loss += s.policy_loss;
    kl_loss += s.kl_loss;
    old_deviation += s.old_deviation;
  }
};

class DiffusionNft final : public Method {
 public:
  DiffusionNft(const DiffusionNftOptions& options, const AlignContext& context)
      : o_(options),
        plan_{options.prompts_per_iteration, options.group_size, options.updates},
        old_(cloned(context.policy)) {}

  Metrics iterate(AlignContext& c, int64_t iteration) override {
    Metrics metrics;
    // Any sampler will do: only the clean latents are kept.
    const auto window = step_window(c.options.sampler, c.seed(), iteration);
    const auto old = c.space.bind(old_);
    const auto batches = draw_groups(c, iteration, plan_, c.guided(old), [&](const SamplerInput& in) {
      return draw_samples(in, c.options.sampler, window);
    });
    const auto advantages = score_groups(c, batches, o_.global_std, o_.adv_clip_max, metrics);
    for (int64_t update = 0; update < o_.updates; ++update) {
      LossSums sums;
      auto gradients = update_gradients(c, batches, advantages, plan_, update, sums,
                                        [&](const TrainingShare& share, StepRecord& record) {
                                          return train_micro_batch(c, share, old, record);
                                        });
      apply_gradients(c, std::move(gradients), iteration, metrics);
      add_metric(metrics, "policy_loss", sums.policy_loss / static_cast<double>(o_.updates));
      if (o_.kl_beta > 0.0) add_metric(metrics, "kl_loss", sums.kl_loss / static_cast<double>(o_.updates));
      add_metric(metrics, "old_deviation", sums.old_deviation / static_cast<double>(o_.updates));
    }
    const double decay = old_decay(iteration);
    ema_update(old_, c.policy, decay);
    metrics.emplace_back("old_decay", decay);
    return metrics;
  }

  TensorMap state() const override { return old_; }
  void load_state(const TensorMap& state) override { old_ = cloned(state); }

 private:
  double old_decay(int64_t iteration) const {
    const double grown =
        o_.old_decay_rate * static_cast<double>(std::max<int64_t>(iteration + 1 - o_.old_decay_start, 0));
    return std::min(grown, o_.old_decay_maximum);
  }

  TensorMap train_micro_batch(AlignContext& c, const TrainingShare& share, const Velocity& old,
                              StepRecord& record) const {
    const auto& batch = share.batch;
    const auto used_B = on_device(share.used_B, c.device);
    const auto x0 = used_rows(batch.trajectory.x0_BCFHW, used_B);
    const auto sigmas_TB = on_device(training_sigmas(c, batch.slot_B()), c.device);
    const auto r =
        on_device(nft_optimality(share.advantage_B, o_.adv_clip_max).to(x0.scalar_type()), c.device);
    const auto policy = c.space.bind(c.policy);
    const auto reference = o_.kl_beta > 0.0 ? c.space.reference() : Velocity{};
    TensorMap gradients;
    for (int64_t t = 0; t < o_.times_per_sample; ++t) {
      const auto sigma_B = sigmas_TB[t];
      const auto sigma = sigma_B.to(x0.scalar_type()).view({-1, 1, 1, 1, 1});
      const auto noise =
          normal_noise(c.seed(), Purpose::training_noise, batch.slot_B(), static_cast<uint64_t>(t),
                       x0.sizes().slice(1), x0.scalar_type(), c.device);
      const auto x_t = (1.0 - sigma) * x0 + sigma * noise;
      const Step step{sigma_B, sigma_B, -1, batch.slot_B()};
      at::Tensor v_old, v_ref;
      {
        c10::NoGradGuard no_grad;
        v_old = old(x_t, step, batch.conditioning);
        if (reference) v_ref = reference(x_t, step, batch.conditioning);
      }
      const auto v = policy(x_t, step, batch.conditioning);
      const double weight = 1.0 / (share.used * static_cast<double>(o_.times_per_sample));
      const auto mean = [&](const at::Tensor& value_B) {
        return at::where(used_B, value_B * weight, 0.0).sum();
      };
      auto loss = mean(nft_loss(v, v_old, x_t, x0, sigma_B, r, o_.beta, o_.adv_clip_max));
      const auto policy_loss = loss.detach();
      auto kl_loss = at::zeros_like(policy_loss);
      if (reference) {
        const auto kl = mean(velocity_kl(v, v_ref));
        kl_loss = kl.detach();
        loss = loss + kl * o_.kl_beta;
      }
      record.add({policy_loss, mean(velocity_kl(v.detach(), v_old)), kl_loss});
      accumulate(gradients, gradients_of(loss, c.policy));
    }
    return gradients;
  }

  // Each sample takes the schedule's sigmas in an order of its own and is trained on the first
  // `times_per_sample`; [T, B], float64.
  at::Tensor training_sigmas(const AlignContext& c, const std::vector<int64_t>& slots) const {
    const auto n = static_cast<size_t>(c.schedule.steps());
    auto sigmas_TB = at::empty({o_.times_per_sample, static_cast<int64_t>(slots.size())}, at::kDouble);
    auto out = sigmas_TB.accessor<double, 2>();
    for (size_t b = 0; b < slots.size(); ++b) {
      std::vector<size_t> order(n);
      std::iota(order.begin(), order.end(), size_t{0});
      std::vector<uint64_t> key;
      for (size_t i = 0; i < n; ++i)
        key.push_back(random_bits(c.seed(), Purpose::training_sigma, static_cast<uint64_t>(slots[b]), i));
      std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return key[i] < key[j]; });
      for (int64_t t = 0; t < o_.times_per_sample; ++t)
        out[t][static_cast<int64_t>(b)] = c.schedule.sigmas[order[static_cast<size_t>(t) % n]];
    }
    return sigmas_TB;
  }

  DiffusionNftOptions o_;
  GroupPlan plan_;
  TensorMap old_;
};

}  // namespace

std::unique_ptr<Method> make_diffusion_nft(const AlignContext& context) {
  return std::make_unique<DiffusionNft>(context.options.diffusion_nft, context);
}

void check_diffusion_nft(const AlignOptions& o) {
  require_updates(o.diffusion_nft.updates, o.diffusion_nft.prompts_per_iteration);
  if (o.diffusion_nft.times_per_sample > o.sampler.steps) {
    throw Error("/method/times_per_sample",
                "must be at most /sampler/steps, " + std::to_string(o.sampler.steps));
  }
}

}  // namespace thalweg
