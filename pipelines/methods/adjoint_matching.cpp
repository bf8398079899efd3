// Adjoint Matching (Domingo-Enrich et al. 2024, arXiv 2409.08861, section 5.2; code of its authors,
// microsoft/soc-fine-tuning-sd): the policy draws with memoryless noise, the slope of lambda r at its clean
// latents goes back through the steps of the base model (the lean adjoint), and the policy's control
// is fitted to what it says. The fixed point is the base model's law tilted by e^{lambda r}, without a KL.
//
// The paper's |sqrt(dt) u + sqrt(dt) sigma a|^2 with sigma^2 = 2t/(1-t) is 2 dt (1-t)/t |v - target|^2, the
// target v_base + (t/(1-t)) a: with a = -grad log h the velocity of the tilted law itself, at any number of
// steps. At t = 1, where a is 0 and its factor has no bound, the next state's is taken, and the weight
// half-way to it. Means over latent elements stand for their sums.
#include <ATen/ATen.h>

#include <cmath>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/direct.h"
#include "pipelines/methods/matching.h"
#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

constexpr double kEarly = 0.6;           // share of the steps of which half of the trained ones are taken
constexpr double kThresholdDecay = 0.9;  // of the average of the losses' quantile

struct Options {
  GroupPlan groups = one_each(32);
  double lambda = 1.0, loss_quantile = 1.0;
  int64_t times_per_sample = 4;
};

// How many of so many steps are early ones, and how many of a sample's trained ones.
struct Strata {
  int64_t early, trained_early;
};

Strata strata_of(const Options& o, int64_t steps) {
  return {std::lround(kEarly * static_cast<double>(steps)), o.times_per_sample / 2};
}

// At each step of the schedule, float64 on the device.
struct Levels {
  at::Tensor sigma_T, factor_T, weight_T;  // t, t/(1-t) and 2 dt (1-t)/t, the last two read below 1
};

Levels levels_of(const Schedule& schedule, at::Device device) {
  std::vector<double> sigma(schedule.sigmas.begin(), schedule.sigmas.end() - 1), factor, weight;
  for (size_t i = 0; i < sigma.size(); ++i) {
    const double t = sigma[i], next = schedule.sigmas[i + 1];
    const double known = i == 0 ? next : t, within = i == 0 ? 0.5 * (t + next) : t;
    factor.push_back(known / (1.0 - known));
    weight.push_back(2.0 * (t - next) * (1.0 - within) / within);
  }
  const auto there = [&](const std::vector<double>& numbers) {
    return on_device(at::tensor(numbers, at::kDouble), device);
  };
  return {there(sigma), there(factor), there(weight)};
}

class AdjointMatchingRun final : public MethodRun {
 public:
  AdjointMatchingRun(const Options& options, Training& training)
      : o_(options), t_(training), levels_(levels_of(training.schedule, training.device())) {
    require_even_end(training.schedule);
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto& sampler = t_.options.sampler;
    const auto followed = follow(t_, iteration, o_.groups,
                                 {.velocity = t_.policy.velocity(),
                                  .kernel = kernel_of(sampler, step_window(sampler, t_.seed(), iteration)),
                                  .first = 0,
                                  .end = t_.schedule.steps()},
                                 metrics);
    for (int64_t i = 0; i < o_.groups.updates; ++i)
      train(update_of(followed.batches, o_.groups, i, followed.used_B), followed, iteration, metrics);
    return metrics;
  }

  void state(RunState& state) override { state.number("loss_threshold", threshold_); }

  double stored_latents() const override { return static_cast<double>(t_.schedule.steps() + 2); }

 private:
  void train(const Update& update, const Followed& followed, int64_t iteration, Metrics& metrics) {
    auto loss_MB = at::zeros({o_.times_per_sample, update.used_B.size(0)}, at::kDouble);
    auto [gradients, records] = update_gradients(t_, update, 1, [&](const Share& share, StepRecord& record) {
      const auto& ends = ends_of(followed, share);
      const auto lean = lean_adjoint(t_.space.reference(), ends.ways[0], share.batch.conditioning,
                                     ends.slopes[0].slope_BCFHW * -o_.lambda);
      Gradients sums(1);
      share.rows(loss_MB, 1).copy_(fit(ends.ways[0], lean, share, update, sums[0], record));
      return sums;
    });
    apply(t_, t_.policy, std::move(gradients[0]), iteration, metrics);
    add_measured(records, o_.groups.updates, metrics);
    std::vector<at::Tensor> losses;
    for (const auto& share : update.shares)
      losses.push_back(share.rows(loss_MB, 1).index({at::indexing::Slice(), share.rows(update.used_B)}));
    if (!losses.empty()) follow_threshold(at::cat(losses, 1));
  }

  // The losses of each sample at its own steps, [M,B]; their gradients are added to `sum`.
  at::Tensor fit(const Way& way, const LeanAdjoint& lean, const Share& share, const Update& update,
                 TensorMap& sum, StepRecord& record) const {
    const auto slots = share.batch.slot_B();
    const ShareHeads of_share({}, update, share, o_.times_per_sample, t_.device());
    const auto step_MB = on_device(trained_steps_of(slots), t_.device());
    std::vector<at::Tensor> losses;
    for (int64_t m = 0; m < o_.times_per_sample; ++m) {
      const auto step_B = step_MB[m], sigma_B = levels_.sigma_T.index_select(0, step_B);
      const auto v = t_.policy.velocity()(rows_of_steps(way.x, step_B), {sigma_B, sigma_B, -1, slots},
                                          share.batch.conditioning);
      const auto v_base = rows_of_steps(lean.v, step_B), a = rows_of_steps(lean.a, step_B.clamp_min(1));
      const auto target = v_base + per_sample(levels_.factor_T.index_select(0, step_B), a) * a;
      const auto error_B = velocity_kl(v, target).to(at::kDouble);
      const auto loss_B = levels_.weight_T.index_select(0, step_B) * error_B;
      losses.push_back(loss_B.detach());
      const auto kept_B = loss_B.detach() < threshold();
      const auto value = of_share.mean(at::where(kept_B, loss_B, 0.0));
      record.add({{"policy_loss", value.detach()},
                  {"matching_loss", of_share.mean(error_B.detach())},
                  {"control", of_share.mean(velocity_kl(v.detach(), v_base))},
                  {"dropped_ratio", of_share.mean(1.0 - kept_B.to(at::kDouble))}});
      accumulate(sum, gradients_of(value, t_.policy.parameters()));
    }
    return at::stack(losses);
  }

  // Of each sample, [M,B]: half among the first 60 %, half among the others, in an order of the
  // sample's own.
  at::Tensor trained_steps_of(const std::vector<int64_t>& slots) const {
    const auto steps = t_.schedule.steps();
    const auto [early, trained_early] = strata_of(o_, steps);
    std::vector<at::Tensor> parts;
    const auto add = [&](int64_t begin, int64_t end, int64_t count) {
      std::vector<double> of;
      for (auto i = begin; i < end; ++i) of.push_back(static_cast<double>(i));
      if (count > 0) parts.push_back(shuffled_sigmas(t_, of, count, slots));
    };
    add(0, early, trained_early);
    add(early, steps, o_.times_per_sample - trained_early);
    return at::cat(parts).to(at::kLong);
  }

  double threshold() const {
    return o_.loss_quantile < 1.0 && threshold_ > 0.0 ? threshold_ * threshold_ : INFINITY;
  }

  // Of roots, as the authors average them; what an update drops is said by those before it, so that no sample
  // is asked twice.
  void follow_threshold(const at::Tensor& loss) {
    const auto now = at::quantile(loss.sqrt().flatten(), o_.loss_quantile).item<double>();
    threshold_ = threshold_ > 0.0 ? kThresholdDecay * threshold_ + (1.0 - kThresholdDecay) * now : now;
  }

  const Options o_;
  Training& t_;
  const Levels levels_;
  double threshold_ = 0.0;  // 0: none yet
};

class AdjointMatching final : public MethodOf<AdjointMatching, AdjointMatchingRun, Options> {
 public:
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    f.number({"lambda", "the law that is aimed at is the base model's times e^{lambda reward}"}, o_.lambda,
             1e-6, 1e9);
    f.integer({"times_per_sample", "steps that a sample is trained at, half of them among the first 60 %"},
              o_.times_per_sample, 1, 1000);
    f.number({"loss_quantile",
              "a sample's step is left out where its loss is above this quantile, averaged over the updates "
              "before; 1: none is"},
             o_.loss_quantile, 0.01, 1.0);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    check_sampler_of(options.sampler);
    const auto steps = options.sampler.steps;
    const auto [early, trained_early] = strata_of(o_, steps);
    if (steps < 2)
      throw Error("/sampler/steps", "must be at least 2: the first step knows nothing of the sample");
    if (trained_early > early || o_.times_per_sample - trained_early > steps - early)
      throw Error("/method/times_per_sample",
                  "half of them are of the first " + std::to_string(early) + " steps and half of the other " +
                      std::to_string(steps - early) + ": lower it, or raise /sampler/steps");
  }

  bool follows_gradients() const override { return true; }

 private:
  static void check_sampler_of(const SamplerSection& s) {
    if (s.kind.name() != "memoryless")
      throw Error("/sampler/name",
                  "must be \"memoryless\": with less noise, or none, a sample depends on the noise it "
                  "began with, and what is fitted is not the tilted law");
    require_steps(s, "adjoint_matching");
    const auto first = s.kind->kernel()({{1.0, 0.5, 0.0}}, 0);
    if (first.std < 0.5)
      throw Error("/sampler/noise_level", "must be 1: below it the sampler is not memoryless");
    if (s.window_begin != 0 || s.window_size != 0)
      throw Error("/sampler/window",
                  "must be all steps: without noise in some the sampler is not memoryless");
    if (s.guidance().scale > 1.0)
      throw Error("/sampler/guidance_scale",
                  "must be 1: what is tilted is the law of the base model itself; guide the evaluation "
                  "(/evaluate/guidance_scale) instead");
  }
};

}  // namespace

std::unique_ptr<Method> make_adjoint_matching() {
  return std::make_unique<AdjointMatching>();
}

}  // namespace thalweg
