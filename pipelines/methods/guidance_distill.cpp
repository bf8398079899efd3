// Guidance distilled into the network (Meng et al. 2023, On Distillation of Guided Diffusion Models, arXiv
// 2210.03142, stage 1; FLUX.1-dev's embedded guidance is such a model): one call of the network in place of
// two,
//   L = E |v_theta(x_t, t, c) - sg[v_u + s (v_c - v_u)]|^2,
// v_c and v_u the run's reference with the prompt and without. The scale s is fixed, or, where the network
// has an input for it, drawn for each sample and told to it.
//
// x_t are noised clean latents as in the paper, of the reference's own guided samples in its data's place.
// Noised, and not the states that the sampler went through: these lie at the levels of one schedule, and what
// is trained is to be drawn with any number of steps. The target is a function of x_t, so where x_t comes
// from weighs errors and moves no minimum.
#include <ATen/ATen.h>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/per_sample.h"
#include "engine/core/rng.h"
#include "engine/losses/nft.h"
#include "engine/models/guidance_input.h"
#include "pipelines/methods/distilled.h"
#include "pipelines/methods/matching_method.h"
#include "pipelines/methods/noise_levels.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

constexpr const char* kGuidance = "/method/guidance/name";

struct Options {
  GroupPlan groups{.groups = 64, .group_size = 1, .updates = 4};
  NoiseLevels levels{.name = "uniform", .times = 4};
  int64_t passes = 1;
  std::string guidance = "fixed";  // or "range"
  double scale = 4.5, minimum = 1.0, maximum = 8.0;
};

class GuidanceDistillRun final : public MethodRun {
 public:
  GuidanceDistillRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        v_c_(training.space.reference()),
        v_u_([this](const at::Tensor& x, const Step& step, const Conditioning& c) {
          return v_c_(x, step, t_.unconditional.repeated(c.batch()));
        }) {
    const bool rehearsal = training.prompts.conditioning.tensors.empty();
    if (o_.guidance == "range" && !rehearsal && !training.model->has_guidance_input()) refuse_range();
  }

  [[noreturn]] static void refuse_range() {
    throw Error(kGuidance,
                "must be \"fixed\": the network has no input that would tell it a scale of a range, as "
                "FLUX.1-dev has (\"guidance_embeds\" in transformer/config.json)");
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto batches = draw(iteration);
    std::vector<at::Tensor> of_batches;
    for (const auto& batch : batches)
      of_batches.push_back(batch.trajectory.x0_BCFHW.isfinite().flatten(1).all(1).cpu());
    const auto finite_B = at::cat(of_batches);
    metrics.emplace_back("not_finite_samples", static_cast<double>((~finite_B).sum().item<int64_t>()));
    train_on_clean_latents(t_, batches, o_.groups, weights(at::ones_like(finite_B), finite_B), head_,
                           matching(), iteration, metrics);
    say_distilled(metrics);
    return metrics;
  }

 private:
  // The teacher's own, guided at each sample's scale.
  std::vector<MicroBatch> draw(int64_t iteration) {
    const auto window = step_window(t_.options.sampler, t_.seed(), iteration);
    return draw_unscored_groups(
        t_, iteration, o_.groups,
        [this](const at::Tensor& x, const Step& step, const Conditioning& c) {
          return guided(v_c_(x, step, c), v_u_(x, step, c), step);
        },
        [&](const SamplerInput& in) { return draw_samples(in, t_.options.sampler, window); });
  }

  Matching matching() const {
    auto levels = o_.levels;
    levels.times *= o_.passes;
    return {.times = o_.levels.times,
            .passes = o_.passes,
            .sigmas_TB = [this, levels](const auto& slot_B) { return drawn_levels(levels, t_, slot_B); },
            .loss = [this](const Noising& n, const Share&) { return loss(n); },
            .velocity = [this](const Share&) { return student(); }};
  }

  Velocity student() const {
    const auto velocity = t_.policy.velocity();
    if (o_.guidance == "fixed") return velocity;
    return [this, velocity](const at::Tensor& x, const Step& step, Conditioning c) {
      c.tensors[kGuidanceInput] = scale_B(step).to(at::kFloat);
      return velocity(x, step, c);
    };
  }

  StepLoss loss(const Noising& n) const {
    const auto v_c = n.answer(v_c_), target = guided(v_c, n.answer(v_u_), n.step);
    const auto l_B = velocity_kl(n.v, target);
    return {.policy_B = [l_B](const at::Tensor& weight_B) { return weight_B.to(l_B) * l_B; },
            .measures = {{"guidance_size", velocity_kl(v_c, target)}}};
  }

  at::Tensor guided(const at::Tensor& v_c, const at::Tensor& v_u, const Step& step) const {
    return v_u + per_sample(scale_B(step), v_u) * (v_c - v_u);
  }

  // Of each sample one scale, whatever the level.
  at::Tensor scale_B(const Step& step) const {
    const auto& slots = step.slot_B;
    if (o_.guidance == "fixed") return at::full_like(step.sigma_B, o_.scale);
    std::vector<double> scales;
    for (const auto slot : slots)
      scales.push_back(o_.minimum + (o_.maximum - o_.minimum) * random_uniform(t_.seed(), Purpose::dropout,
                                                                               static_cast<uint64_t>(slot),
                                                                               0));
    return on_device(at::tensor(scales, at::kDouble), step.sigma_B.device());
  }

  const Options o_;
  Training& t_;
  const Velocity v_c_, v_u_;
  OneHead head_;
};

class GuidanceDistill final : public MatchingOf<GuidanceDistill, GuidanceDistillRun, Options> {
 public:
  double guidance_scale() const override { return o_.guidance == "fixed" ? o_.scale : o_.maximum; }
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    f.integer({"passes", "over the samples of a rollout, each of all its updates"}, o_.passes, 1, 1000);
    f.object({"guidance", "what is distilled"}, [this](Fields& g) {
      g.variant(
          {"name", "scales"}, o_.guidance,
          {{"fixed", "one for all samples",
            [this](Fields& s) {
              s.number({"scale", "the scale s"}, o_.scale, 0.0, 100.0);
            }},
           {"range", "of each sample another, told to a network that has an input for it", [this](Fields& s) {
              s.number({"minimum", "scales are uniform from this"}, o_.minimum, 0.0, 100.0);
              s.number({"maximum", "up to this"}, o_.maximum, 0.0, 100.0);
            }}});
    });
    thalweg::describe(f, o_.levels);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    check_noise_levels(o_.levels, options);
    if (options.sampler.guidance().scale > 1.0)
      throw Error("/sampler/guidance_scale",
                  "must be 1: rollouts are the reference's, guided as /method/guidance says");
    if (o_.guidance == "fixed") {
      if (o_.scale <= 1.0)
        throw Error("/method/guidance/scale", "must be above 1: at most 1 is no guidance to distil");
      return;
    }
    if (o_.minimum >= o_.maximum)
      throw Error("/method/guidance/minimum",
                  "must be below /method/guidance/maximum, " + std::to_string(o_.maximum));
    if (!has_guidance_input(options.model.path)) GuidanceDistillRun::refuse_range();
  }
};

}  // namespace

std::unique_ptr<Method> make_guidance_distill() {
  return std::make_unique<GuidanceDistill>();
}

}  // namespace thalweg
