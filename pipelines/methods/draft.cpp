// DRaFT, direct reward fine-tuning (Clark et al. 2023, arXiv 2309.17400, algorithm 1), and AlignProp
// (Prabhudesai et al. 2023, arXiv 2310.03739): the reward's gradient goes back through the last K steps of
// the sampler into the network. DRaFT-LV: beside the sample's own last step, n noisings of the finished
// sample at the level of that step, one step each. Nothing holds the policy to the model that it came from:
// it goes to where the reward is largest.
//
// The states of the rollout are the checkpoints. Updates of one rollout beyond its first take them as they
// are, a step of the optimizer behind.
#include <ATen/ATen.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "pipelines/methods/direct.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups = one_each(32);
  std::string truncation = "fixed";
  int64_t steps_back = 1, low_variance = 0;
  double deviation = 5.0;
};

// Steps that the iteration differentiates.
int64_t steps_back_at(const Options& o, const Training& t, int64_t iteration) {
  const auto mean = static_cast<double>(o.steps_back);
  if (o.truncation == "uniform") return 1 + static_cast<int64_t>(drawn_uniform(t, iteration) * mean);
  for (int64_t draw = 0; o.truncation == "gaussian"; ++draw) {
    const auto k = std::lround(mean + o.deviation * drawn_normal(t, iteration, draw));
    if (k >= 1 && k <= t.schedule.steps()) return k;
  }
  return o.steps_back;
}

class DraftRun final : public MethodRun {
 public:
  DraftRun(const Options& options, Training& training) : o_(options), t_(training) {
    require_even_end(training.schedule);
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto steps = t_.schedule.steps();
    const auto back = steps_back_at(o_, t_, iteration);
    const auto& sampler = t_.options.sampler;
    const auto followed = follow(t_, iteration, o_.groups,
                                 {.velocity = policy(),
                                  .kernel = kernel_of(sampler, step_window(sampler, t_.seed(), iteration)),
                                  .first = steps - back,
                                  .end = steps,
                                  .further = [this](const MicroBatch& batch) { return noisings(batch); }},
                                 metrics);
    train_along(
        t_, followed, o_.groups,
        [](const at::Tensor& value_B) {
          return ValueLoss{-value_B, at::full_like(value_B, -1.0)};
        },
        [this] { return policy(); }, iteration, metrics);
    metrics.emplace_back("steps_back", static_cast<double>(back));
    return metrics;
  }

  double stored_latents() const override {
    // States of the way, its end and the slope there; of a noising all three.
    return static_cast<double>(o_.steps_back + 2 + 3 * o_.low_variance);
  }

 private:
  Velocity policy() const { return t_.guided(t_.policy.velocity()); }

  std::vector<Way> noisings(const MicroBatch& batch) const {
    std::vector<Way> all;
    for (int64_t n = 0; n < o_.low_variance; ++n) all.push_back(renoised(batch, n));
    return all;
  }

  Way renoised(const MicroBatch& batch, int64_t n) const {
    const auto slots = batch.slot_B();
    const auto& x0 = batch.trajectory.x0_BCFHW;
    const auto last = t_.schedule.steps() - 1;
    const double sigma = t_.schedule.sigmas[static_cast<size_t>(last)];
    auto step = step_at(t_.schedule, last, slots, x0.device());
    step.kernel = landing(t_.schedule, last);
    const auto noise = normal_noise(t_.seed(), Purpose::training_noise, slots, static_cast<uint64_t>(n),
                                    x0.sizes().slice(1), x0.scalar_type(), x0.device());
    const auto x = (1.0 - sigma) * x0 + sigma * noise;
    return {{step}, {x}, transition(x, policy()(x, step, batch.conditioning), step.kernel).mean_BCFHW};
  }

  const Options o_;
  Training& t_;
};

class Draft final : public MethodOf<Draft, DraftRun, Options> {
 public:
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    f.integer({"steps_back", "K: last steps of the sampler that are differentiated"}, o_.steps_back, 1, 1000);
    f.object({"truncation", "the K of each iteration"}, [this](Fields& t) {
      t.variant({"name", "truncation"}, o_.truncation,
                {{"fixed", "steps_back (DRaFT)", [](Fields&) {}},
                 {"uniform", "from 1 to steps_back, drawn", [](Fields&) {}},
                 {"gaussian", "about steps_back, drawn (AlignProp: 8 of 50 steps)", [this](Fields& g) {
                    g.number({"deviation", "in steps"}, o_.deviation, 1e-3, 1000.0);
                  }}});
    });
    f.integer({"low_variance", "n of DRaFT-LV: noisings of the finished sample, one step each; 0: none"},
              o_.low_variance, 0, 1000);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    require_steps(options.sampler, "draft");
    if (o_.steps_back > options.sampler.steps)
      throw Error("/method/steps_back",
                  "must be at most /sampler/steps, " + std::to_string(options.sampler.steps));
    if (o_.low_variance > 0 && (o_.steps_back > 1 || o_.truncation != "fixed"))
      throw Error("/method/low_variance", "is of the last step alone: leave /method/steps_back at 1, fixed");
  }

  bool follows_gradients() const override { return true; }
  bool varies() const override { return o_.truncation != "fixed"; }
};

}  // namespace

std::unique_ptr<Method> make_draft() {
  return std::make_unique<Draft>();
}

}  // namespace thalweg
