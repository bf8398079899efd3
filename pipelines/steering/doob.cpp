#include "samplers/doob/doob.h"

#include <string>

#include "engine/core/error.h"
#include "pipelines/steering/keys.h"
#include "pipelines/steering/methods.h"

namespace thalweg {
namespace {

void describe(Fields& f, DoobOptions& o) {
  f.integer({"candidates", "successors that are looked ahead from in each step; 1 is the sampler alone"},
            o.candidates, 1, 1024);
  f.choice(
      {"lookahead",
       "what a candidate is scored by: its clean estimate from the noise estimate of the state before it "
       "(shared: no further network evaluations, but over-tilts; gamma below 1 and a window) or from its "
       "own (recompute), the end of a few steps of the ODE (rollout), or itself by a process reward "
       "(noisy_latents)"},
      o.lookahead, doob_lookaheads());
  f.choice(
      {"form",
       "pick a candidate by weight, drift along the candidates' weighted noise, or take that through the "
       "network's gradient (vjp, the paper's form)"},
      o.form, doob_forms());
  f.integer({"rollout_steps", "network evaluations of each rollout"}, o.rollout_steps, 1, 1000);
  f.number({"gamma", "strength of drift and vjp; 0: the sampler alone"}, o.gamma, 0.0, 100.0);
  f.number({"temperature", "tau: candidates weigh e^(r/tau)"}, o.temperature, 1e-6, 1e6);
  f.boolean({"normalize",
             "r over its standard deviation among the candidates of a step: tau then needs no scale, but the "
             "target is not p e^(r/tau)"},
            o.normalize);
  f.boolean({"antithetic",
             "candidates in pairs of mirror images, which takes away most of the bias of few candidates"},
            o.antithetic);
  describe_window(f, "steps that steer", o.window_begin, o.window_size);
  f.integer({"greedy_tail", "of the window's last steps: the best candidate goes on"}, o.greedy_tail, 0,
            1000);
  f.boolean({"keep_best", "return the best clean estimate of all candidates where it beats the final sample"},
            o.keep_best);
}

void check(const DoobOptions& o, int64_t steps, const std::string& place) {
  check_window(o.window_begin, o.window_size, steps, place + "/window");
  if (o.antithetic && o.candidates > 1 && o.candidates % 2 != 0)
    throw Error(place + "/candidates",
                "must be even where candidates are mirror images; or set antithetic to false");
  const int64_t size = o.window_size == 0 ? steps - o.window_begin : o.window_size;
  if (o.greedy_tail > size)
    throw Error(place + "/greedy_tail", "is longer than the window of " + std::to_string(size) + " steps");
  if (o.form == "pick" && o.gamma != 0.0 && o.gamma != 1.0)
    throw Error(place + "/gamma",
                "is for drift and vjp; a candidate is picked whole: use the temperature for less");
  if (o.keep_best && o.lookahead == "noisy_latents")
    throw Error(place + "/keep_best", "keeps clean estimates, of which noisy_latents makes none");
}

}  // namespace

SteeringRow doob_row(const char* name, const char* doc) {
  return {name,
          doc,
          [](Fields& f, SteeringEntry& e) { describe(f, e.doob); },
          [](const SteeringEntry& e, int64_t steps) { check(e.doob, steps, e.pointer); },
          [](const SteeringEntry& e) {
            return SteeringNeeds{
                .noisy_latents = e.doob.lookahead == "noisy_latents", .kernel = true, .noise = true};
          },
          nullptr,
          [](const SteeringEntry& e, const SamplerInput& in, const Kernel& kernel,
             const RewardValue& reward) { return sample_doob(in, kernel, reward, e.doob); },
          nullptr};
}

}  // namespace thalweg
