#include "samplers/doob/doob.h"

#include "engine/core/chosen.h"
#include "engine/core/error.h"
#include "pipelines/sampler_section.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/method.h"

namespace thalweg {
namespace {

class Doob final : public Cloneable<Doob, SamplingMethod> {
 public:
  void describe(Fields& f) override {
    f.integer({"candidates", "successors that are looked ahead from in each step; 1 is the sampler alone"},
              options_.candidates, 1, 1024);
    f.choice(
        {"lookahead",
         "what a candidate is scored by: its clean estimate from the noise estimate of the state before it "
         "(shared: no further network evaluations, but over-tilts; gamma below 1 and a window) or from its "
         "own (recompute), the end of a few steps of the ODE (rollout), or itself by a process reward "
         "(noisy_latents)"},
        options_.lookahead, doob_lookaheads());
    f.choice(
        {"form",
         "pick a candidate by weight, drift along the candidates' weighted noise, or take that through the "
         "network's gradient (vjp, the paper's form)"},
        options_.form, doob_forms());
    f.integer({"rollout_steps", "network evaluations of each rollout"}, options_.rollout_steps, 1, 1000);
    f.number({"gamma", "strength of drift and vjp; 0: the sampler alone"}, options_.gamma, 0.0, 100.0);
    f.number({"temperature", "tau: candidates weigh e^(r/tau)"}, options_.temperature, 1e-6, 1e6);
    f.boolean(
        {"normalize",
         "r over its standard deviation among the candidates of a step: tau then needs no scale, but the "
         "target is not p e^(r/tau)"},
        options_.normalize);
    f.boolean({"antithetic",
               "candidates in pairs of mirror images, which takes away most of the bias of few candidates"},
              options_.antithetic);
    describe_window(f, "steps that steer", options_.window_begin, options_.window_size);
    f.number({"clip", "of vjp: the gradient's root mean square in a latent is at most this; 0: not clipped"},
             options_.clip, 0.0, 1e6);
    f.boolean({"gate",
               "drift and vjp pull nowhere in a step whose candidates' mean reward is below "
               "gate_threshold"},
              options_.gate);
    f.number({"gate_threshold", "of gate"}, options_.gate_threshold, -1e9, 1e9);
    f.integer({"greedy_tail", "of the window's last steps: the best candidate goes on"}, options_.greedy_tail,
              0, 1000);
    f.boolean(
        {"keep_best", "return the best clean estimate of all candidates where it beats the final sample"},
        options_.keep_best);
  }
  void check(int64_t steps, const std::string& pointer) const override {
    check_window(options_.window_begin, options_.window_size, steps, pointer + "/window");
    if (options_.antithetic && options_.candidates > 1 && options_.candidates % 2 != 0)
      throw Error(pointer + "/candidates",
                  "must be even where candidates are mirror images; or set antithetic to false");
    const int64_t size = options_.window_size == 0 ? steps - options_.window_begin : options_.window_size;
    if (options_.greedy_tail > size)
      throw Error(pointer + "/greedy_tail",
                  "is longer than the window of " + std::to_string(size) + " steps");
    if (options_.form == "pick" && options_.gamma != 0.0 && options_.gamma != 1.0)
      throw Error(pointer + "/gamma",
                  "is for drift and vjp; a candidate is picked whole: use the temperature for less");
    if (options_.clip > 0.0 && options_.form != "vjp")
      throw Error(pointer + "/clip", "is for the gradient of vjp; leave it at 0");
    if (options_.gate && options_.form == "pick")
      throw Error(pointer + "/gate", "is for drift and vjp; a candidate is always picked");
    if (options_.keep_best && options_.lookahead == "noisy_latents")
      throw Error(pointer + "/keep_best", "keeps clean estimates, of which noisy_latents makes none");
  }
  SteeringNeeds needs() const override {
    return {.noisy_latents = options_.lookahead == "noisy_latents",
            .kernel = true,
            .noise = true,
            .noise_in = StepWindow::of(options_.window_begin, options_.window_size)};
  }
  bool steers() const override { return options_.gamma > 0.0 && options_.candidates > 1; }
  bool leads_by_velocity() const override {
    return options_.form == "vjp" && options_.greedy_tail == 0 && !options_.keep_best;
  }
  Trajectory sample(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward) const override {
    return sample_doob(in, kernel, reward, options_);
  }
  Trajectory sample_told(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                         const GuidanceSink& led) const override {
    return sample_doob(in, kernel, reward, options_, led);
  }

 private:
  DoobOptions options_;
};

}  // namespace

std::unique_ptr<SteeringMethod> make_doob_steering() {
  return std::make_unique<Doob>();
}

}  // namespace thalweg
