// Doob's h-transform without training (DOIT: arXiv 2602.16198): each step draws candidates, looks ahead from
// each to a reward, and goes where the better ones are. No gradient of the reward is asked for.
#pragma once

#include "samplers/guidance/trace.h"
#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

struct DoobOptions {
  int64_t candidates = 8;               // M > 0
  std::string lookahead = "recompute";  // doob_lookaheads()
  std::string form = "pick";            // doob_forms()
  int64_t rollout_steps = 4;            // of the lookahead "rollout", > 0
  double gamma = 1.0;            // strength of "drift" and "vjp"; 0: the sampler alone, no reward is asked
  double temperature = 0.5;      // tau > 0: candidates weigh e^{r / tau}
  bool normalize = true;         // r less its mean, over its standard deviation, among the candidates
  bool antithetic = true;        // candidates m and m + M/2 are mirror images; M is even
  int64_t window_begin = 0;      // steps that steer
  int64_t window_size = 0;       // 0: to the end
  double clip = 0.0;             // of "vjp", > 0: the gradient's root mean square in a latent is at most this
  bool gate = false;             // of "drift" and "vjp": no pull where the candidates' mean reward is below
  double gate_threshold = 1e-3;  // this
  int64_t greedy_tail = 0;       // of the window's last steps: the best candidate goes on
  bool keep_best = false;        // the best clean estimate of all candidates, if it beats the final sample
};

/// What a candidate x' at noise level t' is scored by:
/// "shared"         r((x' - t' e) / (1 - t')) with the noise estimate e of x: no call of the velocity.
///                  Over-tilts.
/// "recompute"      r(x0hat(x')): one call a candidate, which serves the next step as well. Under-tilts.
/// "rollout"        r of one sample of x_0, drawn from x' with the kernel in `rollout_steps` steps of the
///                  schedule: exact as candidates grow many and those steps fine.
/// "noisy_latents"  r(x', t'), a process reward: exact with the soft value log E[e^{r/tau} | x'] tau.
/// A candidate of the last step is scored as it is.
const std::vector<std::string>& doob_lookaheads();

/// What becomes of the weights w over candidates mean + std z_m:
/// "pick"   a candidate drawn by weight goes on, as in SVDD. The tilt is 1/M too weak, to first order, unless
///          candidates are mirror images.
/// "drift"  the mean moves by gamma std sum_m c_m z_m, then the step draws its own noise.
/// "vjp"    the paper's: gamma J^T sum_m c_m z_m / std, J = d mean / dx through the network, as guidance. Not
///          where t = 1.
/// c_m = (w_m - 1/M) M/(M-1), where the paper has w_m: equal rewards then steer nothing, and few candidates
/// do not steer too little. Of mirror images, c_m = w_m - 1/M.
const std::vector<std::string>& doob_forms();

/// Samples with `kernel`, which draws noise. As candidates grow many, "pick" and "drift" with exact values
/// and the memoryless kernel sample p(x_0) e^{r/tau}, unless `normalize` makes tau a temperature of ranks.
/// Candidates without a reward weigh nothing; where none has one, the step is the sampler's own. Outside of
/// the window, in steps without noise and with one candidate, so it is, bit for bit. The record speaks of
/// candidates (a step that does not steer has one); samples have equal weights. "vjp" tells `led`.
Trajectory sample_doob(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                       const DoobOptions& options, const GuidanceSink& led = {});

}  // namespace thalweg
